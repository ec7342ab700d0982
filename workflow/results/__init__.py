"""The rows of docs/results.md: what each trains, how long that takes, and what came out."""
