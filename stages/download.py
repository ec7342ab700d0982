"""Fetch and verify the images, and list them."""

import sys

from alexnet.data import manifest, sources
from alexnet.settings.data import Source
from alexnet.settings.section import Section
from stages import paths
from stages.command import main_repository, run


class Params(Section):
    """The keys of params.yaml that this stage reads."""

    seed: int
    data: Source


def main(params: Params) -> None:
    """Write ``source.json`` and ``manifest.csv``, beside the archives that were fetched or made."""
    found = sources.collect(params.data, params.seed, main=main_repository(), raw=paths.RAW)
    manifest.write(paths.RAW, found)
    counts = ", ".join(f"{len(found.of_split(split))} {split}" for split in manifest.SPLITS)
    print(f"download: {len(found.classes)} classes, {counts} images of {params.data.source}", file=sys.stderr)


if __name__ == "__main__":
    run(main, Params)
