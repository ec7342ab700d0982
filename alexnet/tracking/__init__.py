"""MLflow, and what a person sees of a running training. Only ``client`` imports mlflow."""
