"""Images in an S3 bucket give the manifest, eigenbasis and shards of the same images in a folder."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import fsspec
import pytest
from helpers.staged import ROOT, params
from helpers.team import BUCKET, s3_server
from PIL import Image
from ruamel.yaml import YAML

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.prepare.color_stats import collect as sums
from alexnet.prepare.sharding import write_shards
from alexnet.prepare.squares import SquareSpec
from alexnet.sources import manifest
from alexnet.sources.collect import collect
from alexnet.sources.imagenet import NAMES, SOLUTION, TRAIN, VAL

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        variables = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_S3": address}
        for name, value in variables.items():
            patch.setenv(name, value)
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # its workers would have the variables of its start
        yield address


def put(folder: Path, name: str) -> str:
    """Copy a folder into the bucket; gives its address."""
    fsspec.filesystem("s3").put(str(folder), f"{BUCKET}/{name}", recursive=True)
    return f"s3://{BUCKET}/{name}"


def prepared(root: str, out: Path, settings: Callable[..., Source], **changes: Any) -> tuple[dict[str, bytes], bytes, str]:
    """What the stages make of the images: the shards' files, the sums, and what was left out."""
    out.mkdir()
    listed, omissions = collect(settings(root=root, **changes), 0, main=out, raw=out)
    manifest.write(out, listed)
    read = manifest.read(out)
    spec = SquareSpec(read.folder(out, out), read.pixels, 32)
    write_shards(out / "shards", read, spec, quality=90, workers=2, max_rejects=1)
    total = sums(read.of_split("train"), spec, workers=2, max_rejects=1)
    files = {path.name: path.read_bytes() for path in (*(out / "shards").iterdir(), out / "manifest.csv")}
    return files, total.image.tobytes() + total.products.tobytes(), omissions.summary()


def test_a_folder_in_a_bucket_gives_the_bytes_of_a_folder(
    s3: str, images: Path, tmp_path: Path, settings: Callable[..., Source]
) -> None:
    """With images in folders of a class, what is left out, odd names and one that cannot be read."""
    (images / "train/cat/more folders").mkdir()
    (images / "train/cat/01.jpg").rename(images / "train/cat/more folders/ü +%&=.JPG")
    for name in ("train/cat/.hidden.jpg", "train/cat/@eaDir/1.jpg", "train/dog/notes.txt", "train/stray.jpg", "other/a/b.jpg"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / "train/dog/05.jpg", images / name)
    (images / "train/dog/03.jpg").write_bytes((images / "train/dog/03.jpg").read_bytes()[:100])
    address = put(images, "photos")
    assert prepared(address, tmp_path / "there", settings) == prepared(str(images), tmp_path / "here", settings)


def test_imagenets_tars_in_a_bucket_are_read_in_place(
    s3: str, tmp_path: Path, patch: Callable[..., Image.Image], settings: Callable[..., Source]
) -> None:
    root, wnids = tmp_path / "imagenet", ("n01440764", "n01443537")
    root.mkdir()
    photos = [jpeg(patch(number)) for number in range(24)]
    inner = {
        f"{wnid}.tar": packed({f"{wnid}_{at}.JPEG": photos[10 * label + at] for at in range(10)})
        for label, wnid in enumerate(wnids)
    }
    (root / TRAIN).write_bytes(packed(inner))
    tests = {f"ILSVRC2012_val_{number:08}": wnids[number % 2] for number in range(1, 5)}
    (root / VAL).write_bytes(packed({f"{name}.JPEG": photo for name, photo in zip(tests, photos[20:], strict=True)}))
    (root / NAMES).write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    lines = [f"{name},{wnid} 1 2 3 4\n" for name, wnid in tests.items()]
    (root / SOLUTION).write_text("".join(["ImageId,PredictionString\n", *lines]))
    here = prepared(str(root), tmp_path / "here", settings, source="imagenet")
    assert prepared(put(root, "imagenet"), tmp_path / "there", settings, source="imagenet") == here


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def test_an_image_that_has_changed_since_or_is_gone_is_refused_by_name(
    s3: str, images: Path, tmp_path: Path, settings: Callable[..., Source]
) -> None:
    listed, _ = collect(settings(root=put(images, "changing")), 0, main=tmp_path, raw=tmp_path)
    spec, store = SquareSpec(listed.folder(tmp_path, tmp_path), "encoded", 32), fsspec.filesystem("s3")
    row = next(row for row in listed.rows if row.path == "train/cat/00.jpg")
    store.pipe_file(f"{BUCKET}/changing/{row.path}", b"other")
    with pytest.raises(UserError, match=r"s3://alexnet/changing/train/cat/00.jpg has changed .*\(it has other bytes now\)"):
        list(spec.squares([(0, row)]))
    store.rm_file(f"{BUCKET}/changing/{row.path}")
    with pytest.raises(UserError, match=r"s3://alexnet/changing/train/cat/00.jpg has changed .*\(it is not there\)"):
        list(spec.squares([(0, row)]))


@pytest.mark.parametrize(
    ("root", "variables", "said"),
    [
        ("s3://nobody/photos", {}, "s3://nobody/photos is not a folder"),
        (f"s3://{BUCKET}/photos", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "Could not connect to the endpoint URL"),
        (f"s3://{BUCKET}/photos", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
        ("gs://bucket/photos", {}, "needs a package that is missing"),
        ("s4://bucket/photos", {}, "Protocol not known: s4"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_one_line(
    s3: str, root: str, variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    settings = params()
    settings["data"] |= {"source": "folder", "root": root}
    YAML().dump(settings, tmp_path / "params.yaml")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"} | variables
    done = subprocess.run(
        [sys.executable, "-m", "stages.download"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
