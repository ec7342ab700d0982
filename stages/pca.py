"""Compute the eigenbasis of the training images' RGB pixels, and the mean image."""

import sys

from alexnet.settings.data import Canon as Size
from alexnet.settings.data import Pca, Rejects
from alexnet.settings.section import Section
from stages import paths
from stages.command import main_repository, run


class Params(Section):
    """The keys of params.yaml that this stage reads."""

    data: Rejects
    pca: Pca
    preprocess: Size


def main(params: Params) -> None:
    """Write ``eigenbasis.json`` and ``mean.npy``."""
    # Imported here, as params.yaml is checked first.
    import numpy as np

    from alexnet.data import eigenbasis, manifest
    from alexnet.data.squares import Canon
    from alexnet.files import whole_file, write_json

    listed = manifest.read(paths.RAW)
    canon = Canon(listed.folder(main_repository(), paths.RAW), listed.pixels, params.preprocess.size)
    rows = eigenbasis.sample(listed.of_split("train"), params.pca.images)
    total = eigenbasis.collect(rows, canon, workers=params.pca.workers, max_rejects=params.data.max_rejects)
    with whole_file(paths.MEAN) as file:
        np.save(file, eigenbasis.mean_image(total))
    write_json(paths.EIGENBASIS, eigenbasis.eigenbasis(total))
    print(f"pca: {total.images} images, {len(total.rejects)} unreadable", file=sys.stderr)


if __name__ == "__main__":
    run(main, Params)
