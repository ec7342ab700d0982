"""Processes and devices, and the pipeline that runs over them."""
