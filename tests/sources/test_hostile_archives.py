"""Archives made to mislead: refused by name, or read where they lie; nothing is written outside the repository's own folders."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torchvision  # type: ignore[import-untyped]
from scipy.io import savemat

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.sources import imagenet
from alexnet.sources.fetch import unpack
from alexnet.sources.listing import Request
from alexnet.sources.tar import BLOCK, END, members
from alexnet.sources.torchvision import DataSet, fetching, opened


def header(name: str, size: int | bytes = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A member's header, with any type and any size, or the twelve bytes in its place."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[-BLOCK:])
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(content), kind) + content + bytes(-len(content) % BLOCK)


def signed(size: int) -> bytes:
    """A size that octal digits cannot say."""
    return (b"\x80" if size >= 0 else b"\xff") + size.to_bytes(11, "big", signed=True)


PAX = tarfile.XHDTYPE
HOSTILE = {
    "a hard link": (header("a", kind=tarfile.LNKTYPE, link="/etc/passwd"), "a in it is no plain file"),
    "a symbolic link": (header("a", kind=tarfile.SYMTYPE, link="../../a"), "a in it is no plain file"),
    "a character device": (header("a", kind=tarfile.CHRTYPE), "a in it is no plain file"),
    "a block device": (header("a", kind=tarfile.BLKTYPE), "a in it is no plain file"),
    "a pipe": (header("a", kind=tarfile.FIFOTYPE), "a in it is no plain file"),
    "a sparse file": (member("a", bytes(BLOCK), tarfile.GNUTYPE_SPARSE), "a in it is no plain file"),
    "two files of one name": (member("a") + member("b") + member("a"), "a is in it twice"),
    "a name with a line break": (2 * member("a\nb\x1b[31m"), r"a\\nb\\x1b\[31m is in it twice"),
    "a vast size": (header("a", signed(10**20)) + bytes(BLOCK), "damaged"),
    "a size beyond the end": (header("a", signed(10**9)) + bytes(BLOCK), "unexpected end of data"),
    "a negative size": (member("b") + header("a", signed(-3 * BLOCK)), "the size of a in it is wrong"),
    "a negative size in an extension": (member("p", b"13 size=-999\n", PAX) + member("a"), "the size of a in it is wrong"),
    "an extension of a negative size": (header("p", signed(-BLOCK), PAX) + bytes(BLOCK), "damaged"),
    "a name of a petabyte": (header("p", signed(10**15), tarfile.GNUTYPE_LONGNAME) + bytes(BLOCK), "damaged"),
    "rubbish about holes": (member("p", b"22 GNU.sparse.map=a,b\n", PAX) + member("a"), "damaged"),
    "thousands of extensions": (2000 * member("p", b"11 a=bcdef\n", PAX) + member("a"), "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_is_refused(tmp_path: Path, case: str) -> None:
    content, why = HOSTILE[case]
    (tmp_path / "some.tar").write_bytes(content + END)
    with pytest.raises(UserError, match=r"some\.tar is damaged \(.*\); replace it with a complete one") as refusal:
        list(members(tmp_path / "some.tar"))
    with pytest.raises(UserError, match=why):
        raise refusal.value
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", ["../../a.jpg", "/etc/a.jpg", "a/../../b", "-rf", "a\nb", "x" * 90, ""])
def test_a_name_in_a_tar_is_text(tmp_path: Path, name: str) -> None:
    (tmp_path / "some.tar").write_bytes(member(name, b"content") + END)
    assert list(members(tmp_path / "some.tar")) == [(name, BLOCK, 7)]
    assert os.listdir(tmp_path) == ["some.tar"]


def test_a_tar_in_a_tar_ends_where_its_member_ends(tmp_path: Path) -> None:
    inner = member("a.JPEG", b"1")
    (tmp_path / "some.tar").write_bytes(member("n01440764.tar", inner) + member("n02012849.tar", inner + END) + END)
    found = [(start, start + size) for _, start, size in members(tmp_path / "some.tar")]
    assert [name for name, _, _ in members(tmp_path / "some.tar", *found[1])] == ["a.JPEG"]
    with pytest.raises(UserError, match=r"some\.tar is damaged \(the size of n02012849\.tar in it is wrong\)"):
        list(members(tmp_path / "some.tar", *found[0]))


@pytest.mark.parametrize(
    "content",
    [
        b"rubbish",
        gzip.compress(bytes(10**6))[:-20],
        gzip.compress(os.urandom(10**5))[:50_000],
        gzip.compress(bytes(1000))[:-8] + bytes(4) + struct.pack("<I", 1000),
        b"\x1f\x8b\x08" + 40 * b"\xff",
    ],
    ids=["rubbish", "short of its end", "half", "another checksum", "no header"],  # the bytes have the time in them
)
def test_a_damaged_archive_leaves_nothing_behind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"some\.tar\.gz (is damaged \(.*\); remove it|needs)"):
        list(members(unpack(tmp_path / "some.tar.gz", tmp_path / "raw")))
    assert list((tmp_path / "raw").iterdir()) == []


def kit_in(root: Path, kit: dict[str, bytes]) -> None:
    with tarfile.open(root / f"{imagenet.KIT}.tar.gz", "w:gz") as archive:
        for name, content in kit.items():
            info = tarfile.TarInfo(f"{imagenet.KIT}/data/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("case", ["vast", "rubbish", "another kind", "a link", "cut"])
def test_a_hostile_development_kit_is_refused(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mat = io.BytesIO()
    savemat(mat, {"synsets": {"num_children": 7}})
    truth = "ILSVRC2012_validation_ground_truth.txt"
    contents = {"rubbish": b"MATLAB 5.0" + 300 * b"\xff", "another kind": mat.getvalue()}
    kit_in(tmp_path, {"meta.mat": contents.get(case, bytes(2000)), truth: b"1\n"})
    path = tmp_path / f"{imagenet.KIT}.tar.gz"
    if case == "vast":
        monkeypatch.setattr(imagenet, "LARGEST_KIT_FILE", 1999)
    if case == "a link":
        path.write_bytes(gzip.compress(header(f"{imagenet.KIT}/data/meta.mat", kind=tarfile.SYMTYPE, link="meta.mat") + END))
    if case == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=rf"{imagenet.KIT}\.tar\.gz is damaged \(.*\); download it again"):
        imagenet.read_labels(tmp_path)


def test_hostile_training_images_of_imagenet_are_refused(tmp_path: Path, settings: Callable[..., Source]) -> None:
    synsets = [("n01440764", "tench"), ("n02012849", "crane")]
    (tmp_path / imagenet.NAMES).write_text("".join(f"{wnid} {words}\n" for wnid, words in synsets))
    (tmp_path / imagenet.SOLUTION).write_text("ImageId,PredictionString\n")
    (tmp_path / imagenet.VAL).write_bytes(END)
    request = Request(settings(source="imagenet", root=str(tmp_path)), 0, main=tmp_path, raw=tmp_path / "raw")
    for name, inner in (("../../n1.tar", member("a") + END), ("n01440764.tar", header("a", kind=tarfile.SYMTYPE) + END)):
        (tmp_path / imagenet.TRAIN).write_bytes(member(name, inner) + END)
        with pytest.raises(UserError, match=r"not a class of ILSVRC2012|is no plain file"):
            imagenet.find(request)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("name", ["../outside.txt", "/ABSOLUTE/outside.txt", "a/../../outside.txt", "a link"])
def test_torchvision_unpacks_nothing_outside_its_folder(tmp_path: Path, kind: str, name: str) -> None:
    name = name.replace("/ABSOLUTE", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    packed, folder = tmp_path / f"some.{kind}", tmp_path / "raw/unpacked"
    folder.mkdir(parents=True)
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(name, "x")
    else:
        content = member(name)
        if name == "a link":
            content = header("a", kind=tarfile.SYMTYPE, link=str(tmp_path / "elsewhere")) + member("a/outside.txt")
        packed.write_bytes(content + END if kind == "tar" else gzip.compress(content + END))
    before = tarfile.TarFile.__dict__.get("extraction_filter")
    with fetching(torchvision.datasets.utils, tmp_path):
        try:
            torchvision.datasets.utils.extract_archive(str(packed), str(folder))
        except tarfile.TarError:
            assert kind != "zip"
    assert tarfile.TarFile.__dict__.get("extraction_filter") == before
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {packed.name, "raw"}
    assert not list((tmp_path / "elsewhere").iterdir()) and not list((tmp_path / "raw").glob("*.txt"))


def test_an_archive_that_would_write_outside_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hostile:
        def __init__(self, root: Path, **arguments: Any) -> None:
            torchvision.datasets.utils.extract_archive(str(tmp_path / "some.tar"), str(root))

    Hostile.__module__ = torchvision.datasets.FGVCAircraft.__module__
    monkeypatch.setattr(torchvision.datasets, "FGVCAircraft", Hostile)
    (tmp_path / "some.tar").write_bytes(member("../outside.txt") + END)
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"FGVCAircraft is damaged \(.*outside the destination.*\); remove it"):
        opened("FGVCAircraft", DataSet({}), {}, tmp_path / "downloads", tmp_path / "raw")
    assert not (tmp_path / "outside.txt").exists()
