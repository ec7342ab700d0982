"""Commands around the pipeline, and all that knows DVC."""

from alexnet.signals import interrupt_quietly

interrupt_quietly()
