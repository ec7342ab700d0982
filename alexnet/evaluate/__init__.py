"""Evaluation: the centre crop, the ten crops, and the files with their results."""
