"""Printing for readers who may be gone: a closed pipe ends a command quietly, a full disk with one line."""

import os
import signal
import sys
from typing import TextIO

from alexnet.errors import UserError

READER_GONE = 128 + signal.SIGPIPE
"""The exit status of a command whose reader has gone, as of any command in a shell."""


def say(text: str) -> None:
    r"""Print ``text`` to stdout, now; what its encoding lacks as ``\xe4``.

    Exits with ``READER_GONE`` if the reader of a pipe has gone. Raises ``UserError`` if it cannot be written.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _written(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def flush() -> None:
    """Write what argparse has printed to stdout, as ``say`` does."""
    _written("")


def complain(text: str) -> None:
    """Print ``text`` to stderr, if it can be written."""
    try:
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)
    except OSError:
        _abandon(sys.stderr)


def _written(text: str) -> None:
    try:
        if sys.stdout is not None:  # None if the command was started without one
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        _abandon(sys.stdout)
        sys.exit(READER_GONE)
    except OSError as error:
        _abandon(sys.stdout)
        raise UserError(f"the output cannot be written ({error.strerror}); free some space or print elsewhere") from None


def _abandon(stream: TextIO) -> None:
    # The interpreter writes what is left when it ends, and would print a traceback.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
