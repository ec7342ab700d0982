"""Commands around the pipeline, and all that knows DVC."""
