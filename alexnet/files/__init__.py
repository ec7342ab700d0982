"""Files that the stages hand to each other, each as a type with the reader and the writer of its format."""
