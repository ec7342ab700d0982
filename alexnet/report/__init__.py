"""The report of a run: result files in, pages and pictures out."""
