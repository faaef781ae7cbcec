"""Two volumes side by side: the same as all names of both, sorted, whatever the batches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from trees import tree_of

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.formats import merge
from efi_image.formats.disk import open_disk
from efi_image.formats.files import FilePath, Node, walk
from efi_image.formats.merge import side_by_side

NAMES = ("a", "A B", "b.txt", "c", "dir", "dir!", "dir.x", "e", "Ä", "z")


def image(path: Path, seed: int) -> Path:
    """An image of files at random paths."""
    chance = random.Random(seed)
    files: dict[str, bytes] = {}
    for _ in range(120):
        parts = [f"{chance.choice(NAMES)}-{depth}" for depth in range(chance.randrange(1, 5))]
        files["/".join([*parts, chance.choice(NAMES)])] = b"x" * chance.randrange(3)
    make_image(ResolvedOptions(path), tree_of(files))
    return path


def merged(
    old: Path, new: Path
) -> tuple[list[tuple[FilePath, tuple[Node | None, Node | None]]], ...]:
    """What side_by_side tells, and what it has to."""
    with open_disk(old) as one, open_disk(new) as other:
        volumes = [disk.volume(disk.pick()) for disk in (one, other)]
        found = list(side_by_side(*volumes))
        before, after = (dict(walk(volume)) for volume in volumes)
    wanted = [(path, (before.get(path), after.get(path))) for path in sorted({*before, *after})]
    return found, wanted


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 3, 1 << 15])
@pytest.mark.parametrize("seed", range(3))
def test_all_names_of_both_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, batch: int
) -> None:
    monkeypatch.setattr(merge, "BATCH", batch)
    monkeypatch.setattr(merge, "SMALL_BATCH", batch)
    found, wanted = merged(image(tmp_path / "a", seed), image(tmp_path / "b", seed + 1))
    assert found == wanted
    assert {(one is None, other is None) for _, (one, other) in found} == {
        (True, False), (False, True), (False, False),
    }  # fmt: skip


def test_directory_that_is_a_file_on_the_other(tmp_path: Path) -> None:
    for name, path in (("a", "x/y"), ("b", "x")):
        make_image(ResolvedOptions(tmp_path / name), tree_of({path: b""}))
    found, wanted = merged(tmp_path / "a", tmp_path / "b")
    assert found == wanted
    assert [path for path, _ in found] == [("x",), ("x", "y")]
