"""A trained model and images from outside: what it predicts, and what its layers make of them."""
