"""Engines that run a net's forward and backward passes: in a single process, or as a pipeline over ranks."""
