"""``python -m alexnet`` in this process."""

import sys
from unittest.mock import patch

import pytest
import torch

from alexnet.__main__ import main


def ask(*arguments: object) -> int:
    """Run a command with these arguments; returns its exit status."""
    threads = torch.get_num_threads()
    try:
        with patch.object(sys, "argv", ["alexnet", *map(str, arguments)]), pytest.raises(SystemExit) as ended:
            main()
    finally:
        torch.set_num_threads(threads)
    assert isinstance(ended.value.code, int)
    return ended.value.code
