"""Features of images in Parquet files, and those that ``evaluate`` wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UserError
from alexnet.files.whole import read_json, whole_file
from alexnet.inference.images import read_batches
from alexnet.inference.model import Model
from alexnet.sources import manifest

MODEL, LAYER = b"alexnet.model", b"alexnet.layer"
"""Keys of a Parquet file's metadata: the SHA-256 of the weights, and the layer."""


class Table(NamedTuple):
    """Features of some images."""

    paths: list[str]
    labels: list[str | None]
    vectors: NDArray[np.floating]
    """(images, units)"""
    layer: str


def write_table(path: Path, model: Model, layer: str, images: Mapping[str | bytes, str | None]) -> list[tuple[str | bytes, str]]:
    """Write ``path`` (string), ``label`` (string or null) and ``vector`` (a list of float32 of one length) of each image.

    ``images``: with their labels. Returns those that could not be read, with reasons.
    Raises ``UserError`` if pyarrow is missing, or no image can be read.
    """
    pa, pq = _pyarrow()
    bad: list[tuple[str | bytes, str]] = []
    metadata = {MODEL: model.card.sha256.encode(), LAYER: layer.encode()}
    writer = None
    with whole_file(path) as file:
        for batch in read_batches(list(images), [model.preparation], "features"):
            bad += [(batch.images[place], reason) for place, reason in batch.bad.items()]
            if not batch.squares:
                continue
            vectors = model.activations(batch.squares[model.preparation], layer)
            read = [image for place, image in enumerate(batch.images) if place not in batch.bad]
            columns = {
                "path": pa.array([_text(image) for image in read], pa.string()),
                "label": pa.array([_text(images[image]) for image in read], pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
            }
            table = pa.table(columns, metadata=metadata)
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
        if writer is None:
            raise UserError("none of the images can be read; choose others")
        writer.close()
    return bad


def read_table(path: Path, model: Model) -> Table:
    """Read what ``write_table`` wrote. Raises ``UserError`` if it is missing, damaged, or of another model."""
    pa, pq = _pyarrow()
    try:
        table = pq.read_table(path)
        metadata = table.schema.metadata
        _refuse_other_model(path, metadata[MODEL].decode(), model)
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        return Table(table["path"].to_pylist(), table["label"].to_pylist(), vectors, metadata[LAYER].decode())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it with `python -m alexnet features`") from None
    except (pa.ArrowException, KeyError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"{path} is not a file that `python -m alexnet features` wrote ({why}); choose one") from None


def read_evaluation(folder: Path, raw: Path, model: Model) -> Table:
    """Read the features of training images that the stage ``evaluate`` wrote into ``folder``; ``raw`` has their manifest.

    Without a manifest, an image is named by its row in it. Raises ``UserError`` if a file is missing, or of another model.
    """
    path = folder / "features.npy"
    described = read_json(folder / "nearest.json")
    _refuse_other_model(path, described["model"], model)
    try:
        table = np.load(path, mmap_mode="r")
        labels = [model.classes[label] for label in table["label"].tolist()]
        return Table(_places(raw, table["row"].tolist()), labels, table["vector"], described["layer"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` to make it") from None
    except (ValueError, EOFError, IndexError) as error:
        raise UserError(f"{path} is damaged ({error}); run `dvc repro -f -s evaluate` to make it again") from None


def _places(raw: Path, rows: list[int]) -> list[str]:
    if not (raw / "manifest.csv").is_file():
        return [f"row {row} of the manifest" for row in rows]
    listed = manifest.read(raw)
    root = listed.folder(Path(), raw)
    return [str(root / listed.rows[row].place) for row in rows]


def _refuse_other_model(path: Path, sha256: str, model: Model) -> None:
    if sha256 != model.card.sha256:
        raise UserError(f"{path} has the features of another model; choose that with --model, or write others with `features`")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("Parquet files need pyarrow; install it") from None
    return pyarrow, pyarrow.parquet


def _text(name: str | bytes | None) -> str | None:
    # Parquet's strings are UTF-8, and names of files need not be.
    return "-" if isinstance(name, bytes) else name and name.encode("utf-8", "backslashreplace").decode()
