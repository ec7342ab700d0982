"""All of params.yaml at once: unknown settings rejected by name, values checked against each other."""

from typing import Any, Self

from pydantic import BaseModel, model_validator

from alexnet.config.data import Data, Pca, Preprocess
from alexnet.config.machine import Machine
from alexnet.config.nets import NETS, SWITCHES
from alexnet.config.section import Section
from alexnet.config.sources import SOURCES
from alexnet.config.training import ANY_STAGES_PER_RANK, ONE_STAGE_PER_RANK, Training
from alexnet.errors import UserError
from alexnet.names import brief
from alexnet.nearest import nearest

MOVED = {
    "pca.workers": "machine.workers",
    "preprocess.workers": "machine.workers",
    "loader": "machine.workers",
    "checkpoint": "machine.checkpoint_minutes",
}
"""Settings of earlier versions, and their new names."""


class Settings(Training):
    """Every key of params.yaml."""

    data: Data
    pca: Pca
    preprocess: Preprocess
    machine: Machine

    @model_validator(mode="after")
    def check_together(self) -> Self:
        """Check the settings against each other; pydantic turns the ``ValueError`` into the user's line."""
        if SOURCES[self.data.source].needs_root and not self.data.root:
            raise ValueError(f"data.source: {self.data.source} needs data.root, the folder with the images")
        self._check_name()
        self._check_net()
        self._check_layers()
        if self.crop_size > self.preprocess.size + 2 * self.crop_padding:
            padded = f" with crop_padding: {self.crop_padding}" if self.crop_padding else ""
            raise ValueError(
                f"crop_size: {self.crop_size} is larger than preprocess.size: {self.preprocess.size}{padded}; increase that"
            )
        if self.lr_schedule == "plateau" and self.early_stop is not None and self.early_stop <= self.lr_patience:
            raise ValueError(
                f"early_stop: {self.early_stop} is not valid: plateau waits lr_patience: {self.lr_patience} epochs "
                "before its first drop; choose more"
            )
        self._check_pipeline()
        self._check_nodes()
        return self

    def _check_name(self) -> None:
        source, name = self.data.source, self.data.name
        if SOURCES[source].needs_name and not name:
            raise ValueError(f"data.source: {source} needs data.name, the data set, such as Flowers102")
        if name and not SOURCES[source].needs_name:
            others = " or ".join(f"data.source: {key}" for key, spec in SOURCES.items() if spec.needs_name)
            raise ValueError(f"data.name: {name} is not valid with data.source: {source}; set it to null, or set {others}")

    def _check_net(self) -> None:
        net = NETS[self.model]
        hint = f"; `make exp RECIPE={net.recipe}` sets everything it needs" if net.recipe else ""
        for switch in SWITCHES:
            value = getattr(self, switch)
            if switch in net.switches and value is None:
                raise ValueError(f"{switch}: null is not valid: {self.model} has that switch; set it{hint}")
            if switch not in net.switches and value is not None:
                raise ValueError(f"{switch}: {value} is not valid: {self.model} has no such switch; set it to null{hint}")
        if self.crop_size not in net.crops:
            sides = " or ".join(map(str, net.crops))
            raise ValueError(f"crop_size: {self.crop_size} is not valid: {self.model} takes {sides}{hint}")

    def _check_layers(self) -> None:
        """The layers that learn differently from the others."""
        layers = NETS[self.model].layers
        for setting in ("freeze", "bias_ones", "lr_mult", "decay_mult"):
            for name in getattr(self, setting) or ():
                if name not in layers:
                    near = nearest(name, layers, cutoff=0.0)
                    raise ValueError(f"{setting}: {self.model} has no layer {name} with weights; did you mean {near}?")
        if self.freeze and self.init_from is None:
            raise ValueError(f"freeze: {list(self.freeze)} is not valid without init_from: set that, or freeze: []")
        if set(self.freeze) == set(layers):
            raise ValueError("freeze: all layers are named, so nothing would learn; leave at least one out")

    def _check_pipeline(self) -> None:
        pipe, legal = self.pipeline, NETS[self.model].cuts
        stages = len(pipe.cuts) + 1
        if tuple(cut for cut in legal if cut in pipe.cuts) != pipe.cuts:
            raise ValueError(
                f"pipeline.cuts: {list(pipe.cuts)} is not valid; choose from {', '.join(legal)}, in this order, each once"
            )
        if pipe.replicas > 1 and self.batch_size % (pipe.replicas * pipe.microbatches):
            raise ValueError(
                f"pipeline.replicas: {pipe.replicas} times pipeline.microbatches: {pipe.microbatches} does not divide "
                f"batch_size: {self.batch_size}; choose numbers whose product does"
            )
        if self.batch_size % pipe.microbatches:
            raise ValueError(
                f"pipeline.microbatches: {pipe.microbatches} does not divide batch_size: {self.batch_size}; choose a divisor"
            )
        if pipe.ranks == 1:
            return
        if pipe.ranks > len(legal) + 1:
            raise ValueError(f"pipeline.ranks: {pipe.ranks} is not valid: {self.model} has at most {len(legal) + 1} stages")
        if stages % pipe.ranks:
            numbers = " or ".join(str(n - 1) for n in range(pipe.ranks, len(legal) + 2, pipe.ranks))
            raise ValueError(
                f"pipeline.cuts: {list(pipe.cuts)} makes {stages} stages, not a multiple of pipeline.ranks: {pipe.ranks}; "
                f"choose {numbers} cuts from {', '.join(legal)}"
            )
        if pipe.schedule in ONE_STAGE_PER_RANK and stages != pipe.ranks:
            raise ValueError(
                f"pipeline.schedule: {pipe.schedule} cannot run {stages} stages on {pipe.ranks} ranks; "
                f"choose {' or '.join(ANY_STAGES_PER_RANK)}"
            )
        if pipe.schedule == "1F1B" and pipe.microbatches < stages:
            raise ValueError(
                f"pipeline.microbatches: {pipe.microbatches} is not valid: 1F1B needs at least as many as stages, {stages}"
            )
        if pipe.schedule in ANY_STAGES_PER_RANK and pipe.microbatches % pipe.ranks:
            raise ValueError(
                f"pipeline.microbatches: {pipe.microbatches} is not a multiple of pipeline.ranks: {pipe.ranks}, "
                f"which {pipe.schedule} needs; choose one, or pipeline.schedule: 1F1B"
            )

    def _check_nodes(self) -> None:
        nodes, pipe = self.machine.nodes, self.pipeline
        if nodes > 1 and self.machine.address is None:
            raise ValueError(
                f"machine.nodes: {nodes} needs machine.address, where the others reach the first, such as 10.0.0.1:29400"
            )
        if pipe.ranks * pipe.replicas % nodes:
            raise ValueError(
                f"machine.nodes: {nodes} does not divide pipeline.ranks: {pipe.ranks} times pipeline.replicas: {pipe.replicas}, "
                f"the processes of this training; choose a divisor of {pipe.ranks * pipe.replicas}"
            )


def check(mapping: dict[str, Any]) -> Settings:
    """Check a parsed params.yaml. Raises ``UserError`` that names each unknown setting or invalid value and what is legal."""
    unknown = list(_unknown(mapping, Settings, ""))
    if unknown:
        raise UserError("\n".join(unknown))
    return Settings.read(mapping)


def _unknown(mapping: dict[Any, Any], section: type[BaseModel], prefix: str) -> list[str]:
    lines = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        field = section.model_fields.get(str(key))
        if name in MOVED:
            lines.append(f"params.yaml: {name} has moved; set {MOVED[name]} instead")
        elif field is None:
            near = nearest(str(key)[:100], section.model_fields, cutoff=0.0)
            lines.append(f"params.yaml: unknown setting {brief(name)}; did you mean {prefix}{near}?")
        elif isinstance(value, dict) and isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            lines += _unknown(value, field.annotation, f"{name}.")
    return lines
