"""How MLflow's UI shows the runs: its mode for trainings, and a saved view with the test errors as columns."""

import json

ERRORS = [f"metrics.`{crops}_{error}`" for crops in ("center", "ten_crop") for error in ("top1_error", "top5_error")]
"""The columns of the view, by the UI's names."""
KEY = "errors"
"""Of the view, in addresses and tags."""
STATE = {
    "selectedColumns": ERRORS,
    "columnOrder": ERRORS,
    "columnWidths": dict.fromkeys(ERRORS, 170),  # in pixels; by default the names do not fit
    "orderByKey": ERRORS[2],
    "orderByAsc": True,
}
TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    f"mlflow.sharedViewState.{KEY}": json.dumps({"name": "Errors", "createdAt": 0, "state": json.dumps(STATE)}),
}
"""The experiment's tags: its runs are trainings, not prompts and traces; and the view, as the UI itself saves one."""


def page(experiment: str) -> str:
    """The page of the experiment of that id, from the server's address on, with the view."""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"
