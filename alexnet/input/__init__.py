"""What training and evaluation read: images from the shards, augmented and batched."""
