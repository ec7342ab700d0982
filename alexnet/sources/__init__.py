"""Where the images come from: each source lists its images, with the splits and class names that it has."""
