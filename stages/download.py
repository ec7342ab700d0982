"""Fetch and verify the images, and list them."""

from alexnet.config.data import Source
from alexnet.config.section import Section
from alexnet.output import complain
from stages import paths
from stages.command import run


class Params(Section):
    """The keys of params.yaml that this stage reads."""

    seed: int
    data: Source


def main(params: Params) -> None:
    """Write ``source.json`` and ``manifest.csv``, beside the archives that were fetched or made."""
    # Imported here, as params.yaml is checked first.
    from alexnet.sources import manifest
    from alexnet.sources.collect import collect

    found, omissions = collect(params.data, params.seed, main=paths.main_repository(), raw=paths.RAW)
    manifest.write(paths.RAW, found)
    counts = ", ".join(f"{len(found.of_split(split))} {split}" for split in manifest.SPLITS)
    for line in omissions.lines:
        complain(f"download: {line}")
    left_out = f"; left out: {omissions.summary()}" if omissions.files else ""
    complain(
        f"download: {len(found.classes)} classes, {counts} images of {params.data.name or params.data.source}{left_out}",
    )


if __name__ == "__main__":
    run(main, Params)
