"""Export to other programs' formats, each checked against the net before its file appears."""

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "torchvision": ".pth"}
"""The formats and their file suffixes."""
