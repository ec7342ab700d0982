"""Using a trained model on any images: predictions, tests and features."""
