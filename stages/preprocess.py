"""Bring every image to the square size and write the shards."""

from alexnet.config.data import Preprocess, Rejects
from alexnet.config.machine import Machine
from alexnet.config.section import Section
from alexnet.output import complain
from stages import paths
from stages.command import run


class Params(Section):
    """The keys of params.yaml that this stage reads."""

    data: Rejects
    preprocess: Preprocess
    machine: Machine


def main(params: Params) -> None:
    """Write the shards, their indexes, ``meta.json`` and ``rejects.csv``."""
    # Imported here, as params.yaml is checked first.
    from alexnet.prepare.sharding import write_shards
    from alexnet.prepare.squares import SquareSpec, shown
    from alexnet.sources import manifest

    listed = manifest.read(paths.RAW)
    spec = SquareSpec(listed.folder(paths.main_repository(), paths.RAW.absolute()), listed.pixels, params.preprocess.size)
    rejects = write_shards(
        paths.SHARDS,
        listed,
        spec,
        quality=params.preprocess.quality,
        workers=params.machine.dask or params.machine.workers,
        max_rejects=params.data.max_rejects,
    )
    where = f", listed in {paths.SHARDS / 'rejects.csv'}: {shown(rejects)}" if rejects else ""
    complain(f"preprocess: {len(listed.rows) - len(rejects)} images, {len(rejects)} rejected{where}")


if __name__ == "__main__":
    run(main, Params)
