"""From image files to 256x256 shards, and the statistics of their pixels."""
