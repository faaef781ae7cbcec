"""Whole images: sizes, tables, sameness."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import oracles
import pytest
from trees import tree_of

from efi_image.build.image import Report, make_image
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.build.plan import DEFAULT_SIZE
from efi_image.config.environment import load
from efi_image.config.resolve import resolve
from efi_image.config.settings import merge
from efi_image.errors import DoesNotFitError, OutputError, UsageError
from efi_image.io.source import FileSource, Source

MIB = 1 << 20
FILES = {"EFI/BOOT/BOOTX64.EFI": b"x" * 100_000, "EFI/zpp/zpp.conf": b"hypervisor = on\n"}


def make(output: Path, files: dict[str, bytes] = FILES, **options: object) -> Report:
    asked = ResolvedOptions(output, **{"digest": True, **options})  # type: ignore[arg-type]
    return make_image(asked, tree_of(files))


def judge(image: Path, report: Report, files: dict[str, bytes]) -> None:
    assert image.stat().st_size == report.size
    assert hashlib.sha256(image.read_bytes()).hexdigest() == report.sha256
    offset = report.partitions[0].offset if report.partitions else 0
    size = report.partitions[0].size if report.partitions else report.size
    oracles.check_fat(image, offset, size)
    assert oracles.pyfatfs_files(image, offset) == files
    assert oracles.mtools_paths(image, offset) == set(files)
    if report.table == "gpt" and report.sector_size == 512:
        oracles.check_gpt(image)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "sector_size"),
    [(table, 512) for table in Table] + [(table, 4096) for table in Table if table != Table.ISO],
)
@pytest.mark.parametrize("size", [None, 3 * MIB, 20 * MIB, 64 * MIB + 4096])
def test_images(tmp_path: Path, size: int | None, table: Table, sector_size: int) -> None:
    image = tmp_path / "esp.img"
    report = make(image, size=size, table=table, sector_size=sector_size)
    assert report.size == (size or DEFAULT_SIZE)
    assert {file.path: file.size for file in report.files} == {
        "\\EFI\\BOOT\\BOOTX64.EFI": 100_000,
        "\\EFI\\zpp\\zpp.conf": 16,
    }
    judge(image, report, FILES)


def test_default_image_is_fat32_and_sparse(tmp_path: Path) -> None:
    report = make(tmp_path / "esp.img")
    assert report.fat == "FAT32"
    assert (tmp_path / "esp.img").stat().st_blocks * 512 < 4 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("table", list(Table))
def test_image_grows_with_its_files(tmp_path: Path, table: Table) -> None:
    files = {"BIG.BIN": os.urandom(90 * MIB)}
    report = make(tmp_path / "esp.img", files, table=table)
    assert 90 * MIB < report.size < 110 * MIB
    assert report.size % MIB == 0
    assert report.free > 2 * MIB
    judge(tmp_path / "esp.img", report, files)


@pytest.mark.slow
@pytest.mark.parametrize("table", list(Table))
@pytest.mark.parametrize("amount", [0, 1, 3 * MIB, 31 * MIB, 40 * MIB, 70 * MIB])
def test_hint_of_a_size_is_true(tmp_path: Path, amount: int, table: Table) -> None:
    files = {"BIG.BIN": bytes(amount), "B": b"b"}
    with pytest.raises(DoesNotFitError) as caught:
        make(tmp_path / "esp.img", files, size=8192, table=table)
    enough = int(caught.value.hint.removesuffix("M is enough"))
    assert amount <= enough * MIB <= amount + amount // 32 + 4 * MIB
    make(tmp_path / "esp.img", files, size=enough * MIB, table=table)


def test_sizes_that_cannot_be(tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    for size, what in (
        (64 * MIB + 1, UsageError),
        (0, DoesNotFitError),
        (1 << 50, DoesNotFitError),
    ):
        with pytest.raises(what):
            make(image, size=size)
    with pytest.raises(UsageError):
        make(image, sector_size=777)
    assert list(tmp_path.iterdir()) == []


class _Unread:
    """A source that may not be read yet."""

    name = "unread"
    size = 1

    def chunks(self) -> NoReturn:
        raise AssertionError("was read before the output was checked")

    def read_at(self, offset: int, count: int) -> NoReturn:
        raise AssertionError(f"{count} bytes at {offset} were read before")


def test_output_is_checked_before_long_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        make_image(ResolvedOptions(tmp_path), tree_of({"A": _Unread()}))


def test_huge_image_is_made_at_once_and_sparse(tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    report = make(image, size=1 << 40, digest=False)
    assert image.stat().st_blocks * 512 < 4 * MIB
    assert report.fat == "FAT32"
    oracles.check_gpt(image)
    assert oracles.mtools_paths(image, MIB) == set(FILES)


def test_digests_are_made_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"x" * 1_000_000)
    files: dict[str, bytes | Source] = {**FILES, "SOURCE": FileSource.open(path)}
    with_digests = make_image(ResolvedOptions(tmp_path / "a.img", digest=True), tree_of(files))
    without = make_image(ResolvedOptions(tmp_path / "b.img"), tree_of(files))
    data = (tmp_path / "a.img").read_bytes()
    assert data == (tmp_path / "b.img").read_bytes()
    assert with_digests.sha256 == hashlib.sha256(data).hexdigest()
    assert {file.path: file.sha256 for file in with_digests.files} == {
        "\\EFI\\BOOT\\BOOTX64.EFI": hashlib.sha256(FILES["EFI/BOOT/BOOTX64.EFI"]).hexdigest(),
        "\\EFI\\zpp\\zpp.conf": hashlib.sha256(FILES["EFI/zpp/zpp.conf"]).hexdigest(),
        "\\SOURCE": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert {file.sha256 for file in without.files} == {without.sha256} == {""}


def identity(tmp_path: Path, size: int, changed: int, others: int = 0) -> tuple[str, str]:
    """The serial numbers of two images; a byte of a file differs in the second."""
    data = bytearray(size)
    serials = []
    for _ in range(2):
        files = {f"A{number}": b"" for number in range(others)} | {"Z.BIN": bytes(data)}
        serials.append(make(tmp_path / "x.img", files, digest=False).serial)
        data[changed] ^= 1
    return serials[0], serials[1]


@pytest.mark.parametrize(("size", "changed"), [(1, 0), (8192, 4096), (1 << 20, 4095),
                                               (1 << 20, (1 << 20) - 4096)])  # fmt: skip
def test_identity_comes_from_the_ends_of_the_files(tmp_path: Path, size: int, changed: int) -> None:
    first, second = identity(tmp_path, size, changed)
    assert first != second


def test_identity_does_not_read_everything(tmp_path: Path) -> None:
    for first, second in (identity(tmp_path, 1 << 20, 5000), identity(tmp_path, 1, 0, others=256)):
        assert first == second


def test_progress_counts_all_bytes(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"x" * 1_000_000)
    os.truncate(path, 5_000_000)
    told: list[tuple[int, int]] = []
    tree = tree_of({**FILES, "SOURCE": FileSource.open(path)})
    make_image(ResolvedOptions(tmp_path / "x.img"), tree, lambda *count: told.append(count))
    total = 5_000_000 + sum(map(len, FILES.values()))
    assert told[-1] == (total, total)
    assert told == sorted(told)


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    first = make(tmp_path / "a.img")
    assert make(tmp_path / "b.img", dict(reversed(FILES.items()))).sha256 == first.sha256
    for other in (
        make(tmp_path / "b.img", seconds=1_700_000_000),
        make(tmp_path / "b.img", size=65 * MIB),
        make(tmp_path / "b.img", {**FILES, "EFI/zpp/zpp.conf": b"hypervisor = no\n"}),
        make(tmp_path / "b.img", {**FILES, "EFI/MORE": b""}),
    ):
        assert other.sha256 != first.sha256
        assert other.serial != first.serial


@pytest.mark.slow
def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Neither hash seeds nor the time of day show in an image."""
    code = (
        "import sys, test_image, pathlib\nprint(test_image.make(pathlib.Path(sys.argv[1])).sha256)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / "x.img"],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert digests == {make(tmp_path / "y.img").sha256 + "\n"}


def test_identities_of_disk_and_partition_differ(tmp_path: Path) -> None:
    make(tmp_path / "esp.img")
    data = (tmp_path / "esp.img").read_bytes()
    assert data[512 + 56 : 512 + 72] != data[1024 + 16 : 1024 + 32]


def test_volume_knows_its_place_on_the_disk(tmp_path: Path) -> None:
    make(tmp_path / "esp.img", sector_size=4096)
    assert (tmp_path / "esp.img").read_bytes()[MIB + 28 : MIB + 32] == (256).to_bytes(4, "little")


@pytest.mark.parametrize("text", ["", "-1", "1.5", "now", "\u0661", "9" * 30])
def test_bad_source_date(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(merge(load()), {"SOURCE_DATE_EPOCH": text})
    assert str(caught.value).startswith("SOURCE_DATE_EPOCH: ")
    assert caught.value.exit_code == 2


def test_source_date() -> None:
    assert resolve(merge(load()), {}).seconds == 0
    assert resolve(merge(load()), {"SOURCE_DATE_EPOCH": "1700000000"}).seconds == 1_700_000_000
