"""Many files and the largest file: constant memory, holes stay holes, nothing is read twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import oracles
import pytest
from trees import tree_of

from efi_image.build.identity import SAMPLED
from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.io.source import FileSource

MIB = 1 << 20
LARGEST = (1 << 32) - 1
MEMORY = 64 * MIB
ROOT = Path(__file__).parents[2]


def peak_memory(*arguments: str | Path, code: int = 0) -> int:
    """The peak memory of zpp-image in bytes; the test fails if it ends with another exit code."""
    spawn = ROOT / "tests/bench/spawn.py"
    command: list[str | Path] = [
        sys.executable,
        "-I",
        "-S",
        spawn,
        "300",
        sys.executable,
        "-m",
        "efi_image",
    ]
    result = subprocess.run(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stderr
    return int(result.stdout.split()[2]) * 1024


@pytest.fixture
def largest(tmp_path: Path) -> Path:
    """A file of 4 GiB - 1 with a few bytes in it."""
    path = tmp_path / "largest"
    with path.open("wb") as file:
        for offset in (0, 1 << 31, LARGEST - 5):
            file.seek(offset)
            file.write(b"bytes")
    assert path.stat().st_size == LARGEST
    return path


def test_largest_file(tmp_path: Path, largest: Path) -> None:
    image = tmp_path / "x.img"
    memory = peak_memory("make", image, "--hypervisor", "none", "--add", f"{largest}:/LARGEST.BIN")
    assert memory < MEMORY
    assert image.stat().st_blocks * 512 < 16 * MIB
    assert oracles.mtools_paths(image, MIB) == {"LARGEST.BIN"}
    assert f"{LARGEST:,}".replace(",", " ") in oracles.run("mdir", "-i", f"{image}@@1M", "::")
    oracles.check_gpt(image)
    with image.open("rb") as file:
        start = next(
            at for at in range(MIB, 64 * MIB, 512) if read(file.fileno(), at, 5) == b"bytes"
        )
        for offset in (1 << 31, LARGEST - 5):
            assert read(file.fileno(), start + offset - 2, 8)[2:7] == b"bytes"


def read(descriptor: int, offset: int, count: int) -> bytes:
    return os.pread(descriptor, count, offset)


@pytest.mark.slow
def test_twenty_thousand_colliding_files(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20_000):
        (folder / f"module-{number:05}-driver.bin").write_bytes(b"%d" % number)
    image = tmp_path / "x.img"
    memory = peak_memory("make", image, "--hypervisor", "none", "--add", f"{folder}:/many")
    assert memory < MEMORY
    assert len(oracles.mtools_paths(image, MIB)) == 20_000


def test_files_are_read_once_but_for_the_ends_of_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {}
    for number in range(300):
        path = tmp_path / f"{number:03}"
        path.write_bytes(b"x" * 100_000)
        sources[path.name] = FileSource.open(path)
    opened: list[str] = []
    original = FileSource.descriptor

    def count(source: FileSource) -> int:
        opened.append(source.name)
        return original(source)

    monkeypatch.setattr(FileSource, "descriptor", count)
    make_image(ResolvedOptions(tmp_path / "x.img"), tree_of(sources))
    times = [opened.count(source.name) for source in sources.values()]
    assert set(times[:SAMPLED]) == {3}  # both ends, and all of it
    assert set(times[SAMPLED:]) == {1}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two images of 120,000 empty files in two directories; a thousandth have other names."""
    folder = tmp_path_factory.mktemp("crowded")
    images = folder / "one.img", folder / "two.img"
    for number, image in enumerate(images):
        names = (f"F{n + number * 500_000 * (n % 1000 == 7):07}.TXT" for n in range(120_000))
        tree = tree_of({f"D{n // 60_000}/{name}": b"" for n, name in enumerate(names)})
        make_image(ResolvedOptions(image), tree)
    return images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [("ls -r --json", 0), ("inspect", 0), ("inspect --json", 0), ("verify", 1)],
)
def test_reading_many_names_takes_little_memory(
    crowded: tuple[Path, Path], words: str, code: int
) -> None:
    assert peak_memory(*words.split(), crowded[0], code=code) < MEMORY


@pytest.mark.slow
def test_comparing_many_names_takes_little_memory(crowded: tuple[Path, Path]) -> None:
    assert peak_memory("diff", *crowded, code=1) < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["", "zstd", "gzip"])
def test_writing_takes_little_memory(tmp_path: Path, packing: str) -> None:
    image, stick = tmp_path / "x.img", tmp_path / "stick"
    with image.open("wb") as file:
        for start in range(0, 160 * MIB, 16 * MIB):
            file.seek(start)
            file.write(os.urandom(MIB) * 8)
        file.truncate(160 * MIB)
    with stick.open("wb") as file:
        file.truncate(200 * MIB)
    if packing:
        subprocess.run([packing, "-q", "-1", "-k", image], check=True)
        image = next(path for path in tmp_path.iterdir() if path.name.startswith("x.img."))
    assert peak_memory("write", image, stick, "--raw-bytes") < MEMORY
    assert peak_memory("write", image, stick, "--raw-bytes", "--delta", "--force") < MEMORY
