"""The stages of dvc.yaml, one thin entry point each: read params, call the library, write outs."""

from alexnet.launcher import end_with_parent
from alexnet.signals import end_quietly

# Before the imports, which take seconds.
end_quietly()
end_with_parent()
