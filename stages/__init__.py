"""The stages of dvc.yaml, one thin entry point each: read params, call the library, write outs."""

from alexnet.launcher import end_with_parent
from alexnet.startup import begin

# Before the imports, which take seconds.
begin()
end_with_parent()
