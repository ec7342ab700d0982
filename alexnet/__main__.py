"""``python -m alexnet COMMAND …``: use a trained model and its card."""

import argparse
import sys
from importlib import import_module
from pkgutil import iter_modules

from alexnet import commands
from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.nearest import refuse_unknown
from alexnet.output import complain, flush
from alexnet.startup import begin

NAMES = [module.name for module in iter_modules(commands.__path__) if not module.name.startswith("_")]


def main() -> None:
    """Read the command line and run its command; exit 2 with one line if something is wrong."""
    try:
        if sys.argv[1:] and not sys.argv[1].startswith("-"):
            refuse_unknown("command", sys.argv[1], NAMES)
        try:
            arguments = _parser().parse_args()
        finally:
            flush()
        sys.exit(arguments.run(arguments))
    except UserError as error:
        complain(f"error: {printable(error)}")
        sys.exit(2)
    except OSError as error:
        name = printable(error.filename or "a file")
        complain(f"error: {name} cannot be read ({error.strerror or error}); fix that and run this again")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alexnet", description="Use a trained AlexNet.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in NAMES:
        module = import_module(f"alexnet.commands.{name}")
        command = subparsers.add_parser(
            name,
            help=module.__doc__,
            description=module.__doc__,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    begin()
    main()
