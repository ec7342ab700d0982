"""Send to MLflow the runs that it missed, and experiments whose training DVC had no need to run."""

import os

from alexnet.errors import UserError
from alexnet.tracking.client import Store
from alexnet.tracking.completion import complete
from stages.command import run
from stages.paths import main_repository
from workflow.experiments import experiments


def main() -> None:
    """Send what MLflow lacks of each trained model, one line for each; a second time there is nothing to send."""
    # Nobody computes meanwhile, and a server that passes a model on to other storage answers late.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    store, sent = Store(main_repository()), False
    try:
        for line in (complete(store, experiment) for experiment in experiments() if experiment.trained):
            if line:
                print(line, flush=True)
                sent = True
    except store.failure as error:
        raise UserError(f"{store.describe(error)}; fix that, then run this again") from None
    if not sent:
        print("MLflow has every run")


if __name__ == "__main__":
    run(main)
