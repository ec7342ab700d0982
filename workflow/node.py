"""Train as one more of several machines; run it once on each but the first, in the same commit of this repository."""

import argparse
import sys

from alexnet.config.machine import checked_address
from alexnet.output import flush
from workflow import nodes
from workflow.torchrun import PROCESSES, quiet_torch, run_node, said_in_one_line

WAIT = 10.0
"""Minutes that the first node may take to come."""


def main() -> int:
    """Read the command line, wait for the first node, and train with its settings. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workflow.node", description=__doc__, allow_abbrev=False)
    parser.add_argument("address", type=_address, help="machine.address of the first node, such as 10.0.0.1:29400")
    parser.add_argument("--wait", type=float, default=WAIT, metavar="MINUTES", help=f"for the first node; {WAIT:g} by default")
    try:
        arguments = parser.parse_args()
    finally:
        flush()
    return said_in_one_line(lambda: join(arguments.address, arguments.wait))


def _address(text: str) -> str:
    try:
        return checked_address(text)
    except ValueError as error:  # whose words argparse would leave out
        raise argparse.ArgumentTypeError(str(error)) from None


def join(address: str, wait: float) -> int:
    """Train with the first node. Raises ``UserError``."""
    quiet_torch("FATAL")
    node = nodes.another(address, wait)
    processes = f"{node.plan.processes} process{'es' if node.plan.processes > 1 else ''}"
    print(f"{node.name}, with {processes}, by the settings of {address}", file=sys.stderr)
    return run_node(node, [PROCESSES, str(node.plan.processes), "-m", "stages.train"])


if __name__ == "__main__":
    sys.exit(main())
