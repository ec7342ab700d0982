"""The pictures: kernels in the paper's order, noise along the eigenvectors, marks in the curves."""

import re
from io import BytesIO

import numpy as np
from PIL import Image

from alexnet.input.colors import noise_lengths
from alexnet.report import figures, pictures, theme


def test_kernels_stand_in_sixteen_columns_with_the_second_tower_below() -> None:
    kernels = np.zeros((96, 3, 11, 11), np.float32)
    kernels[17, 0], kernels[95, 2], kernels[0, 1] = 1.0, 1.0, -1.0
    picture = np.asarray(Image.open(BytesIO(pictures.kernels_png(kernels, towers=2))))
    side, gap = 11 * 6, pictures.GAP
    assert picture.shape[1] == 16 * side + 15 * gap
    assert picture[side // 2, side // 2].tolist() == [128, 0, 128, 255]
    assert picture[side + gap, side + gap].tolist() == [255, 128, 128, 255]
    assert picture[-1, -1].tolist() == [128, 128, 255, 255]
    assert not picture[3 * side + 2 * gap : 3 * side + 5 * gap, :, 3].any()


def test_noise_moves_all_pixels_along_the_eigenvectors() -> None:
    grey = BytesIO()
    Image.new("RGB", (256, 256), (100, 110, 120)).save(grey, format="JPEG", quality=100, subsampling=0)
    vectors = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    lengths = noise_lengths(np.array([10000.0, 900.0, 400.0]), "stdev")
    plain, noisy = pictures.noisy_jpegs(grey.getvalue(), np.array([[0.1, -0.2, 0.3]]), lengths, vectors)
    before, after = (np.asarray(Image.open(BytesIO(picture)), float).mean((0, 1)) for picture in (plain, noisy))
    np.testing.assert_allclose(after - before, [-6, 6, 10], atol=1.5)


def test_rate_drops_are_marked_with_the_new_rate() -> None:
    columns = ("train_loss", "val_loss", "train_top1_error", "val_top1_error", "val_top5_error")
    curves = {"epoch": [1.0, 2.0, 3.0], "lr": [0.01, 0.01, 0.001], **{column: [1.0, 0.5, 0.25] for column in columns}}
    for drawing in (figures.loss_curve(curves), figures.error_curve(curves)):
        assert re.findall(r">lr ([^<]+)<", drawing) == ["0.001"]


def test_a_mistake_is_orange_in_the_row_of_its_class() -> None:
    drawing = figures.confusion_matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    cells = re.findall(r'<path d="M ([\d.]+) ([\d.]+)[^"]*" clip-path[^>]*style="fill: (#\w+); opacity', drawing)
    (left, top, right), (x, y, mistake), (_, bottom, _) = cells
    assert (right, mistake) == (theme.BLUE, theme.ORANGE)
    assert float(x) > float(left)
    assert y == top != bottom
