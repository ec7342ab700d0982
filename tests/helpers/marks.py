"""What a test needs of the machine."""

import pytest

from alexnet.config.processor import has_bfloat16

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(),
    reason="this CPU has no bfloat16 instructions, and emulates them at a twentieth of the speed",
)
