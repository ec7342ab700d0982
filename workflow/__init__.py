"""Commands around the pipeline, and all that knows DVC."""

from alexnet.launcher import end_with_parent
from alexnet.signals import end_quietly

# Before the imports, which take seconds.
end_quietly()
end_with_parent()
