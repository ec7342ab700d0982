"""AlexNet as in the paper of 2012, trained as a pipeline over two devices."""
