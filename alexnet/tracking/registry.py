"""Trained models in MLflow: files that MLflow serves, versions in the registry, and the champion's alias."""

import json
import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mlflow.entities
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NAME = "alexnet"
"""Of the registered model."""
LOADER = "alexnet.serving"
"""The module that MLflow calls to load a model."""
PACKAGES = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "scipy", "simplejpeg", "torch", "tqdm")
"""What ``LOADER`` runs on."""
ERROR = "test_error"
"""The tag of a version with its top-1 error of the ten crops."""
DATA = "test_sha256"
"""The tag of a run and of a version with the hash of the test images: errors are compared where it is the same."""
CONTEXTS = {"train": "training", "test": "evaluation"}
"""What the images of a split are for, in MLflow's words."""
DIGEST = 16
"""Hexadecimal digits of a hash that MLflow shows; it allows 36."""


def champion(source: str) -> str:
    """The alias of the best model of a source; ``/`` and other characters that an alias may not have become hyphens."""
    return f"champion-{re.sub(r'[^A-Za-z0-9_-]+', '-', source)}"


class Registry:
    """The model of one run; each method waits for MLflow and raises what it raises. Calling one again completes it."""

    def __init__(self, client: "MlflowClient", run: "mlflow.entities.Run", local: bool) -> None:
        """``local``: artifacts are on this machine, not on a server."""
        self._client, self._run, self._local = client, run, local

    @property
    def version(self) -> "ModelVersion | None":
        """The run's version in the registry."""
        return next(iter(self._client.search_model_versions(f"name = '{NAME}' and run_id = '{self._run.info.run_id}'")), None)

    def complete(self, error: float | None) -> bool:
        """Whether the registry has the run's model, and its test error unless that is None."""
        version = self.version
        return version is not None and (error is None or ERROR in version.tags)

    def log(self, weights: Path, card: Path, facts: Mapping[str, Any], example: bytes | None = None) -> None:
        """Send the model and register it.

        ``facts``: the card's content. ``example``: an image file, shown as an example of a request.
        """
        from mlflow.exceptions import MlflowException

        if self.version:
            return
        model_id, location = self._send(weights, card, facts, example)
        try:
            self._client.create_registered_model(NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {"data_source": facts["data"]["source"], DATA: facts["data"]["sha256"]["test"], "model_sha256": facts["sha256"]}
        # A database looks a `models:` address up in the process's default store, which may be another.
        source = location if self._local else f"models:/{model_id}"
        self._client.create_model_version(NAME, source, self._run.info.run_id, tags, await_creation_for=0, model_id=model_id)

    def evaluated(self, error: float) -> None:
        """Note the model's test error, and give the alias to the version with the least of the same source and test images."""
        ours = self.version
        if ours is None:
            return
        self._client.set_model_version_tag(NAME, ours.version, ERROR, str(error))
        same = f"name = '{NAME}' and tags.{DATA} = '{ours.tags[DATA]}' and tags.data_source = '{ours.tags['data_source']}'"
        rivals = self._client.search_model_versions(same)
        errors = {int(rival.version): float(rival.tags[ERROR]) for rival in rivals if ERROR in rival.tags}
        best = min(errors, key=lambda number: (errors[number], number))
        self._client.set_registered_model_alias(NAME, champion(ours.tags["data_source"]), str(best))

    def data(self, lineage: Mapping[str, Any], split: str) -> None:
        """Name the images of a split as a data set that the run used; ``lineage``: the card's ``data``."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name, sha256 = lineage["source"], lineage["sha256"][split]
        source = json.dumps({"uri": name, "split": split, "sha256": sha256})
        profile = json.dumps({"images": lineage["images"][split]})
        dataset = Dataset(name, sha256[:DIGEST], "local", source, profile=profile)
        self._client.log_inputs(
            self._run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", CONTEXTS[split])])]
        )

    def _send(self, weights: Path, card: Path, facts: Mapping[str, Any], example: bytes | None) -> tuple[str, str]:
        """Send the files, the weights from where they are; returns the model's id and where its files are."""
        from mlflow.entities import LoggedModelOutput

        run, experiment = self._run.info.run_id, self._run.info.experiment_id
        begun = self._client.search_logged_models([experiment], f"source_run_id = '{run}'")
        model = begun[0] if begun else self._client.create_logged_model(experiment, NAME, run, model_type="pyfunc")
        if str(model.status) != "READY":
            with tempfile.TemporaryDirectory() as folder:
                _write(Path(folder) / "model", card, facts, example, model.model_id, run)
                self._client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
            self._client.log_model_artifact(model.model_id, str(weights), "data")
            self._client.finalize_logged_model(model.model_id, "READY")
        known = self._client.get_run(run).outputs
        if known is None or not known.model_outputs:  # MLflow refuses it a second time
            self._client.log_outputs(run, [LoggedModelOutput(model.model_id, step=facts["epochs"])])
        return model.model_id, model.artifact_location


def _write(folder: Path, card: Path, facts: Mapping[str, Any], example: bytes | None, model_id: str, run_id: str) -> None:
    """All files of the model but its weights, which belong beside its card in ``data``."""
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    outputs = Schema([ColSpec(Array(DataType.string), "classes"), ColSpec(Array(DataType.double), "probabilities")])
    params = ParamSchema([ParamSpec("top", DataType.integer, 5), ParamSpec("ten_crop", DataType.boolean, False)])
    signature = ModelSignature(Schema([ColSpec(DataType.binary, "image")]), outputs, params)
    pyfunc.save_model(
        folder,
        loader_module=LOADER,
        data_path=str(card),
        code_paths=[str(Path(__file__).parents[1])],
        # Given as a parameter, MLflow warns where there is no example.
        mlflow_model=Model(run_id=run_id, model_id=model_id, signature=signature),
        input_example=None if example is None else pd.DataFrame({"image": [example]}),
        pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in PACKAGES],
        metadata={"classes": facts["classes"]},
    )
