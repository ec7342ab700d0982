"""Training: the optimiser, its rate, and the loop."""
