"""The nets, one a file: ``layers(classes, switches)`` lists the layers of the net of that name."""
