"""Which rank of a training this process is.

Clusters and other launchers leave ``RANK``, ``WORLD_SIZE`` and the like in the environment, so these count only in children of
a process that called ``launch``.
"""

import os

LAUNCHER = "ALEXNET_LAUNCHER"
"""The environment variable that holds the launcher's process id."""


def launch() -> None:
    """Make this process a launcher: the children that it starts from now on are ranks."""
    os.environ[LAUNCHER] = str(os.getpid())


def launched() -> bool:
    """Whether a launcher started this process."""
    return os.environ.get(LAUNCHER) == str(os.getppid())


def rank() -> int:
    """This process's rank, from 0."""
    return int(os.environ["RANK"]) if launched() else 0


def ranks() -> int:
    """How many ranks the launcher started; 1 in a process that runs by itself."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1
