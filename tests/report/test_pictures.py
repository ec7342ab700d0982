"""The pictures: kernels in the paper's order, noise along the eigenvectors, marks in the curves."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.input.colors import noise_lengths
from alexnet.report import figures, pictures, theme, words


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


def test_the_strongest_maps_stand_in_their_order_from_black_to_white() -> None:
    maps = np.zeros((50, 11, 11), np.float32)
    maps[14:] = np.arange(36)[::-1, None, None]  # the last of these is no stronger than the first fourteen
    picture = np.asarray(Image.open(BytesIO(pictures.maps_png(maps))))
    pitch = 5 * 11 + pictures.GAP
    assert picture.shape == (6 * pitch - pictures.GAP, 6 * pitch - pictures.GAP, 4)
    shown = picture[27::pitch, 27::pitch, 0].ravel().astype(float)
    # Of equal maps the first is chosen: map 0, before the 35 that are stronger.
    np.testing.assert_allclose(shown, [0, *(255 / 35 * np.arange(35, 0, -1))], atol=4)
    assert not picture[:, 5 * 11 : pitch, 3].any()


def test_maps_that_are_all_alike_make_a_picture() -> None:
    assert not np.asarray(Image.open(BytesIO(pictures.maps_png(np.zeros((4, 3, 3), np.float32)))))[..., :3].any()


def test_a_large_picture_is_brought_down_and_a_small_one_stays_its_bytes() -> None:
    photo = load_sample_images().images[0][:256, :256]
    file = BytesIO()
    Image.fromarray(photo).save(file, format="JPEG", quality=95)
    small = np.asarray(Image.open(BytesIO(pictures.thumbnail(file.getvalue(), 64))), float)
    expected = photo.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert small.shape == expected.shape
    assert np.abs(small - expected).mean() < 6
    assert pictures.thumbnail(file.getvalue(), 256) == file.getvalue()


def test_neighbouring_weights_of_noise_do_not_correlate_and_those_of_photographs_do() -> None:
    rng = np.random.default_rng(0)
    assert abs(words.smoothness(rng.normal(0, 0.01, (96, 3, 11, 11)).astype(np.float32))) < 0.02
    photo = load_sample_images().images[0] / 255
    cuts = [photo[y : y + 11, x : x + 11].transpose(2, 0, 1) for y, x in rng.integers(0, 400, (96, 2))]
    kernels = np.stack(cuts) - np.mean(cuts)
    pairs = [(a, b) for k in kernels for a, b in ((k[:, :, 1:], k[:, :, :-1]), (k[:, 1:], k[:, :-1]))]
    one, other = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    expected = np.corrcoef(one, other)[0, 1]
    assert words.smoothness(kernels.astype(np.float32)) == pytest.approx(expected, abs=0.02)


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
