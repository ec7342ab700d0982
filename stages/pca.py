"""Compute the eigenbasis of the training images' RGB pixels, and the mean image."""

from alexnet.config.data import Pca, Rejects, SquareSize
from alexnet.config.machine import Machine
from alexnet.config.section import Section
from alexnet.output import complain
from stages import paths
from stages.command import run


class Params(Section):
    """The keys of params.yaml that this stage reads."""

    data: Rejects
    pca: Pca
    preprocess: SquareSize
    machine: Machine


def main(params: Params) -> None:
    """Write ``eigenbasis.json`` and ``mean.npy``."""
    # Imported here, as params.yaml is checked first.
    import numpy as np

    from alexnet.files.whole import whole_file
    from alexnet.prepare import color_stats
    from alexnet.prepare.squares import SquareSpec
    from alexnet.sources import manifest

    listed = manifest.read(paths.RAW)
    spec = SquareSpec(listed.folder(paths.main_repository(), paths.RAW.absolute()), listed.pixels, params.preprocess.size)
    rows = color_stats.sample(listed.of_split("train"), params.pca.images)
    total = color_stats.collect(
        rows, spec, workers=params.machine.dask or params.machine.workers, max_rejects=params.data.max_rejects
    )
    with whole_file(paths.MEAN) as file:
        np.save(file, color_stats.mean_image(total))
    color_stats.eigenbasis(total).write(paths.EIGENBASIS)
    complain(f"pca: {total.images} images, {len(total.rejects)} unreadable")


if __name__ == "__main__":
    run(main, Params)
