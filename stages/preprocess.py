"""Bring every image to the canonical square and write the shards."""

import sys

from alexnet.settings.data import Preprocess, Rejects
from alexnet.settings.section import Section
from stages import paths
from stages.command import main_repository, run


class Params(Section):
    """The keys of params.yaml that this stage reads."""

    data: Rejects
    preprocess: Preprocess


def main(params: Params) -> None:
    """Write the shards, their indexes, ``meta.json`` and ``rejects.csv``."""
    # Imported here, as params.yaml is checked first.
    from alexnet.data import manifest, sharding
    from alexnet.data.squares import Canon

    listed = manifest.read(paths.RAW)
    settings = params.preprocess
    canon = Canon(listed.folder(main_repository(), paths.RAW), listed.pixels, settings.size)
    rejects = sharding.write_shards(
        paths.SHARDS, listed, canon, quality=settings.quality, workers=settings.workers, max_rejects=params.data.max_rejects
    )
    where = f", listed in {paths.SHARDS / 'rejects.csv'}" if rejects else ""
    print(f"preprocess: {len(listed.rows) - len(rejects)} images, {len(rejects)} rejected{where}", file=sys.stderr)


if __name__ == "__main__":
    run(main, Params)
