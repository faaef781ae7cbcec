"""Random cp, rm, mkdir and mv, compared with a dictionary after every step.

Oracles: fsck.fat, mtools (which reads all files back), and `zpp-image verify`.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from oracles import check_fat, run

from efi_image.cli.main import main
from efi_image.formats.disk import open_disk
from efi_image.verify import Severity, verify

NAMES = (
    "a", "A", "b.txt", "kernel.efi", "KERNEL.EFI", "kernel-6.1.0-amd64.efi",
    "kernel-6.1.0-arm64.efi", "Kernel-6.1.0-ARM64.efi", "Ümläut.conf", "ümläut.CONF", "straße",
    "strasse", "two words.txt", "longer" * 30, "EFI", "boot", "BOOT",
)  # fmt: skip
STEPS = 25

Path_ = tuple[str, ...]


def key(path: Path_) -> Path_:
    """The same for paths that differ only in the case of these names."""
    return tuple(name.replace("ß", "\0").upper() for name in path)


@dataclass
class Model:
    """The files (bytes) and directories (None) of a volume, with their names as they were made."""

    nodes: dict[Path_, tuple[Path_, bytes | None]] = field(default_factory=dict)

    def is_folder(self, path: Path_) -> bool:
        return not path or (key(path) in self.nodes and self.nodes[key(path)][1] is None)

    def is_file(self, path: Path_) -> bool:
        return key(path) in self.nodes and not self.is_folder(path)

    def real(self, path: Path_) -> Path_:
        return self.nodes[key(path)][0] if path else ()

    def put(self, path: Path_, data: bytes | None) -> None:
        """A file, or a directory if data is None; it keeps the name that it has."""
        old = self.nodes.get(key(path))
        name = old[0] if old else (*self.real(path[:-1]), path[-1])
        self.nodes[key(path)] = (name, data)

    def below(self, path: Path_) -> list[Path_]:
        """The keys of all at that path and below."""
        start = key(path)
        return [each for each in self.nodes if each[: len(start)] == start]

    def remove(self, path: Path_) -> None:
        for each in self.below(path):
            del self.nodes[each]

    def move(self, path: Path_, end: Path_) -> None:
        rows = [(each[len(path) :], self.nodes.pop(each)) for each in self.below(path)]
        name = (*self.real(end[:-1]), end[-1])
        for rest, (old, data) in rows:
            self.nodes[key(end) + rest] = ((*name, *old[len(path) :]), data)

    def files(self) -> dict[str, bytes | None]:
        return {"/".join(name): data for name, data in self.nodes.values()}


class Player:
    """Does random steps to an image and the model alike."""

    def __init__(self, image: Path, folder: Path, seed: int) -> None:
        self.image = image
        self.model = Model()
        self.folder = folder
        self.random = random.Random(seed)
        self.log: list[str] = []

    def command(self, *words: str, works: bool) -> None:
        """Run it; it must succeed, or fail without a change."""
        before = self.image.read_bytes()
        self.log.append(f"{' '.join(words)} ({'works' if works else 'fails'})")
        assert (main(list(words)) == 0) is works, self.log
        if not works:
            assert self.image.read_bytes() == before, self.log

    def place(self, path: Path_) -> str:
        return f"{self.image}:/{'/'.join(path)}"

    def any_path(self) -> Path_:
        """A new path in some directory."""
        folders = [(), *(name for name, data in self.model.nodes.values() if data is None)]
        return (*self.random.choice(folders), self.random.choice(NAMES))

    def some(self) -> Path_:
        """An existing path, most of the time."""
        names = [name for name, _ in self.model.nodes.values()]
        return self.random.choice(names) if names else self.any_path()

    def data(self) -> bytes:
        size = self.random.choice((0, 1, 511, 512, 513, 5000, 70_000))
        return self.random.randbytes(size)

    # ---- steps

    def copy_in(self) -> None:
        data, path, model = self.data(), self.any_path(), self.model
        force = self.random.random() < 0.5
        source = self.folder / "new file"
        source.write_bytes(data)
        end = (*path, "new file") if model.is_folder(path) else path
        works = not model.is_folder(end) and (force or not model.is_file(end))
        options = ["--force"] if force else []
        self.command("cp", *options, str(source), self.place(path), works=works)
        if works:
            model.put(end, data)

    def copy_tree(self) -> None:
        top = self.folder / "tree"
        shutil.rmtree(top, ignore_errors=True)
        files = {("tree", name): self.data() for name in ("one", "two", "module-1-driver.efi")}
        (top / "empty").mkdir(parents=True)
        for (_, name), data in files.items():
            (top / name).write_bytes(data)
        path = self.any_path()[:-1]
        tree, model = (*path, "tree"), self.model
        works = not any(key((*path, *below)) in model.nodes for below in files)
        self.command("cp", "-r", str(top), self.place(path), works=works)
        if works:
            model.put(tree, None)
            model.put((*tree, "empty"), None)
            for below, data in files.items():
                model.put((*path, *below), data)

    def copy_within(self) -> None:
        source, path, model = self.some(), self.any_path(), self.model
        if not model.is_file(source):
            return
        end = (*path, source[-1]) if model.is_folder(path) else path
        works = key(end) not in model.nodes
        self.command("cp", self.place(source), self.place(path), works=works)
        if works:
            model.put(end, model.nodes[key(source)][1])

    def remove(self) -> None:
        path, recursive = self.some(), self.random.random() < 0.5
        works = self.model.is_file(path) or (recursive and key(path) in self.model.nodes)
        options = ["-r"] if recursive else []
        self.command("rm", *options, str(self.image), "/".join(path), works=works)
        if works:
            self.model.remove(path)

    def make_folder(self) -> None:
        path, parents = self.any_path(), self.random.random() < 0.5
        works = key(path) not in self.model.nodes or (parents and self.model.is_folder(path))
        options = ["-p"] if parents else []
        self.command("mkdir", *options, str(self.image), "/".join(path), works=works)
        if works:
            self.model.put(path, None)

    def move(self) -> None:
        source, path, model = self.some(), self.any_path(), self.model
        force = self.random.random() < 0.3
        is_rename = key(source) == key(path)
        into = model.is_folder(path) and not is_rename
        end = (*path, source[-1]) if into else path
        inside = key(end[:-1])[: len(source)] == key(source)
        old = key(end) in model.nodes and key(end) != key(source)
        replaces = force and model.is_file(end) and model.is_file(source)
        works = key(source) in model.nodes and not inside and (not old or replaces)
        options = ["--force"] if force else []
        self.command("mv", *options, str(self.image), "/".join(source), "/".join(path), works=works)
        if works:
            if old:
                model.remove(end)
            model.move(model.real(source), end)

    def step(self) -> None:
        steps: tuple[Callable[[], None], ...] = (
            self.copy_in, self.copy_in, self.copy_in, self.copy_tree, self.copy_within,
            self.remove, self.make_folder, self.make_folder, self.move, self.move,
        )  # fmt: skip
        self.random.choice(steps)()


def read_back(image: Path, offset: int, folder: Path) -> dict[str, bytes | None]:
    """All files and directories as mtools reads them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run("mcopy", "-s", "-n", "-i", f"{image}@@{offset}", "::/", folder)
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


CASES = [
    (12, "none", "--sector-size=512", "4M"),
    (12, "mbr", "--sector-size=512", "4M"),
    (16, "gpt", "--sector-size=512", "16M"),
    (32, "gpt", "--sector-size=512", "40M"),
    (32, "none", "--sector-size=512", "36M"),
    (16, "gpt", "--sector-size=4096", "32M"),
    (12, "mkfs.fat", "2", "4096"),
    (32, "mkfs.fat", "1", "40000"),
]


def make_image(image: Path, fat: int, table: str, sectors: str, size: str) -> None:
    """By zpp-image, or by mkfs.fat with so many sectors in a cluster."""
    if table == "mkfs.fat":
        run("mkfs.fat", "-F", str(fat), "-s", sectors, "-C", image, size)
        return
    made = ["make", str(image), "--hypervisor=none", f"--fat={fat}", f"--table={table}", sectors]
    assert main([*made, f"--size={size}"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("fat", "table", "sectors", "size"), CASES)
def test_random_steps(fat: int, table: str, sectors: str, size: str, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    make_image(image, fat, table, sectors, size)
    with open_disk(image) as disk:
        place = disk.pick()
    player = Player(image, tmp_path, seed=fat * len(table))
    for number in range(STEPS):
        player.step()
        check_fat(image, place.start, place.size)
        assert read_back(image, place.start, tmp_path / "read") == player.model.files(), player.log
        if number % 5 == 0:
            report = verify(image)
            codes = {f.rule.code for f in report.findings if f.rule.severity is not Severity.NOTE}
            # nothing on it can boot
            assert [code for code in codes if not code.startswith("ZPP-B")] == [], player.log
