"""Training: the optimiser, its learning rate, checkpoints, and the loop."""
