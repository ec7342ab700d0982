"""Commands around the pipeline, and all that knows DVC."""

from alexnet.launcher import end_with_parent
from alexnet.startup import begin

# Before the imports, which take seconds.
begin()
end_with_parent()
