"""The order of writes on a device: after any of them the volume can be read, and loses no file.

Each change is cut off after every block. Oracle: `zpp-image verify`'s rules about the FAT, whose
own oracle is fsck.fat; the old files are read as they were, the new one as it was or will be.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oracles import check_fat

from efi_image.cli.main import main
from efi_image.edit.operations import Target, copy, make_folders, move, remove
from efi_image.edit.sources import Entry, Group
from efi_image.formats.disk import open_disk
from efi_image.formats.fat.changes import Changes
from efi_image.formats.fat.editor import FatEditor
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import Kind, show_path, walk
from efi_image.io.medium import open_raw
from efi_image.io.overlay import Overlay
from efi_image.io.source import BytesSource
from efi_image.verify import verify

# what a cut can leave: lost clusters, FATs that differ, a wrong count of free clusters, a long
# name without its entry, entries in a new cluster behind the old end mark, which no reader passes;
# a moved file with two names for a moment
LEFT = {"ZPP-F203", "ZPP-F204", "ZPP-F302", "ZPP-F303", "ZPP-F410", "ZPP-F417"}
MOVED = LEFT | {"ZPP-F208", "ZPP-F406"}
LONG = "a long name that needs more than one record.efi"
DATA = random.Random(1).randbytes(40_000)

Change = Callable[[FatEditor], object]


def put(path: str, force: bool = False) -> Change:
    group = Group("new", (Entry((), BytesSource("new", DATA)),))
    return lambda editor: copy(editor, [group], Target.parse(path), force=force)


def tree(editor: FatEditor) -> None:
    entries = [Entry((), None), Entry(("sub",), None)]
    entries += [Entry(("sub", f"file {n} with a long name"), BytesSource("x", b"x" * n))
                for n in range(40)]  # fmt: skip
    copy(editor, [Group("tree", tuple(entries))], Target.parse("/dir"), force=False)


CHANGES: dict[str, tuple[Change, set[str]]] = {
    "a new file": (put("/new.bin"), LEFT),
    "a new long name": (put(f"/dir/{LONG}"), LEFT),
    "a file replaced": (put("/dir/old.bin", force=True), LEFT),
    "a tree": (tree, LEFT),
    "a file removed": (lambda editor: remove(editor, ("dir", "old.bin"), recursive=False), LEFT),
    "a directory removed": (lambda editor: remove(editor, ("dir",), recursive=True), LEFT),
    "a directory made": (lambda editor: make_folders(editor, ("x", "y", LONG), parents=True), LEFT),
    "a file moved": (
        lambda editor: move(editor, [("dir", "old.bin")], Target.parse(f"/{LONG}"), force=False),
        MOVED,
    ),
    "a directory moved": (
        lambda editor: move(editor, [("dir", "below")], Target.parse("/"), force=False),
        MOVED,
    ),
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk with files of a few names, and a directory that is nearly full."""
    image, top = tmp_path / "disk.img", tmp_path / "top"
    (top / "dir" / "below").mkdir(parents=True)
    for number in range(12):
        (top / "dir" / f"name {number}").write_bytes(bytes([number]) * 700)
    (top / "dir" / "old.bin").write_bytes(b"old" * 9000)
    (top / "dir" / "below" / "deep").write_bytes(b"deep")
    made = ["make", str(image), "--hypervisor", "none", "--fat", "16", "--size", "8M"]
    assert main([*made, "--add", f"{top}/*:/"]) == 0
    return image


def changes_of(image: Path, change: Change) -> Changes:
    with open_disk(image) as disk:
        place = disk.pick()
        view = Overlay.over(disk.medium).view(place.start, place.size)
        editor = FatEditor(view, 0, reuse=False)
        change(editor)
        return editor.finish()


def files(image: Path) -> dict[str, bytes]:
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        return {
            show_path(path): b"".join(volume.chunks(node))
            for path, node in walk(volume)
            if node.kind is Kind.FILE
        }


def cuts(image: Path, changes: Changes) -> Iterator[int]:
    """Write the changes, and stop after each block."""
    descriptor = os.open(image, os.O_RDWR)
    try:
        for offset, data in changes.contents():
            os.pwrite(descriptor, data, offset)
        yield 0
        for offset, data in (block for stage in changes.stages for block in stage):
            os.pwrite(descriptor, data, offset)
            yield offset
    finally:
        os.close(descriptor)


def codes(image: Path) -> set[str]:
    return {f.rule.code for f in verify(image).findings if f.rule.code.startswith("ZPP-F")}


@pytest.mark.parametrize("name", CHANGES)
def test_every_cut_leaves_a_volume_that_can_be_read(name: str, image: Path) -> None:
    change, allowed = CHANGES[name]
    before = files(image)
    changes = changes_of(image, change)
    copy_of = image.read_bytes()
    for offset, data in (block for stage in changes.stages for block in stage):
        copy_of = copy_of[:offset] + data + copy_of[offset + len(data) :]
    finished = image.with_name("finished.img")
    finished.write_bytes(copy_of)
    with finished.open("r+b") as file:
        for offset, data in changes.contents():
            file.seek(offset)
            file.write(data)
    after = files(finished)
    assert after != before or name == "a directory made"
    count = 0
    for _ in cuts(image, changes):
        count += 1
        assert codes(image) <= allowed
        now = files(image)
        for path, data in before.items():
            if path in after and after[path] == data:
                assert now[path] == data
        for path, data in now.items():
            assert data in (before.get(path), after.get(path))
        if name.endswith(" moved"):
            assert set(before.values()) <= set(now.values())
    assert count > 2
    assert files(image) == after
    assert codes(image) == set()
    with open_disk(image) as disk:
        place = disk.pick()
    check_fat(image, place.start, place.size)


def test_a_full_volume_is_named_with_its_free_space(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(20 << 20))
    before = image.read_bytes()
    capsys.readouterr()
    assert main(["cp", str(big), f"{image}:/"]) == 5
    with open_raw(image) as medium, open_disk(image) as disk:
        assert medium.size
        volume = disk.volume(disk.pick())
        assert isinstance(volume, FatVolume)
        free = volume.free_clusters() * volume.boot.cluster_size
    message = capsys.readouterr().err
    assert f"but {free} are free" in message
    assert image.read_bytes() == before
