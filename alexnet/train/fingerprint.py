"""What the numbers of a training depend on."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alexnet.config.section import flat
from alexnet.config.training import Training
from alexnet.files.card import Lineage
from alexnet.files.shard_index import ShardMeta

CODE = ("files", "input", "models", "pipeline", "train")
"""The packages that a training's numbers depend on: those that the stage names in dvc.yaml."""
LIBRARIES = ("torch", "numpy", "simplejpeg")
"""The packages whose versions may change a training's numbers."""
PACKAGE = Path(__file__).parents[1]


def numeric_settings(settings: Training) -> dict[str, Any]:
    """The settings that change the numbers of a training, by dotted names, sorted; not the file name in ``init_from``.

    ``pipeline.replicas`` only if there are several.
    """
    speed_only: Any = {"init_from": True, "pipeline": {"ranks", "cuts", "schedule"}}
    if settings.pipeline.replicas == 1:
        speed_only["pipeline"].add("replicas")
    whole = settings.model_dump(include=set(Training.model_fields), exclude=speed_only, mode="json")
    return dict(sorted(flat(whole).items()))


def libraries() -> dict[str, str]:
    """The versions of ``LIBRARIES``."""
    return {name: version(name) for name in LIBRARIES}


def lineage(meta: ShardMeta) -> Lineage:
    """Where the images came from: source, counts, and a SHA-256 over the hashes of each split's shards."""
    hashes = {split: "\n".join(shard.sha256 for shard in described.shards) for split, described in meta.splits.items()}
    return Lineage(
        source=meta.source,
        images={split: described.images for split, described in meta.splits.items()},
        rejects=meta.rejects,
        sha256={split: sha256(text.encode()).hexdigest() for split, text in hashes.items()},
    )


def code_fingerprint(others: Sequence[str] = ()) -> str:
    """A hash over what computes: the code, the versions of ``LIBRARIES``, and ``others``: torch's build, the kinds of GPU."""
    digest = sha256("\n".join([*libraries().values(), *others]).encode())
    for folder in CODE:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
