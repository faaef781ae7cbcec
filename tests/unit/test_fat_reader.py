"""FAT volumes of other makers, compared with mtools and pyfatfs; and faults put into them."""

from __future__ import annotations

import random
import re
import struct
from contextlib import suppress
from pathlib import Path

import oracles
import pytest
from foreign import KIB, MIB, contents, in_memory, mkfs, patched, sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efi_image.errors import InputError
from efi_image.formats.disk import read_disk
from efi_image.formats.fat.bpb import BootSector, FsInfo, looks_like_fat
from efi_image.formats.fat.directory import EntryKind, Timestamp
from efi_image.formats.fat.geometry import FatType
from efi_image.formats.fat.long_names import checksum
from efi_image.formats.fat.reader import ChainError, ChainFault, FatVolume
from efi_image.formats.files import Kind, find, walk
from efi_image.io.medium import Medium, open_raw


def read_all(volume: FatVolume) -> dict[str, bytes]:
    return {
        "/".join(path): b"".join(volume.chunks(node))
        for path, node in walk(volume)
        if node.kind is Kind.FILE
    }


@pytest.mark.parametrize(
    ("size", "options", "kind", "sector_size"),
    [
        (1440 * KIB, ("-F", "12"), FatType.FAT12, 512),
        (16 * MIB, ("-F", "16", "-s", "2"), FatType.FAT16, 512),
        (40 * MIB, ("-F", "32", "-s", "1"), FatType.FAT32, 512),
        (300 * MIB, ("-F", "32", "-S", "4096"), FatType.FAT32, 4096),
        (16 * MIB, ("-f", "1", "-r", "64", "-F", "16"), FatType.FAT16, 512),
    ],
)
def test_reads_what_mkfs_and_mtools_write(
    tmp_path: Path, size: int, options: tuple[str, ...], kind: FatType, sector_size: int
) -> None:
    top = sources(tmp_path)
    image = mkfs(tmp_path / "fat.img", size, "-n", "MY LABEL", *options, source=top)
    with open_raw(image) as medium:
        volume = FatVolume(medium)
        assert (volume.kind, volume.boot.sector_size) == (kind, sector_size)
        assert volume.label == "MY LABEL"
        assert read_all(volume) == contents(top)
        if "-f" not in options:  # pyfatfs wants two FATs
            seen = oracles.pyfatfs_files(image)  # it does not know 8.3 names in lower case
            assert {n.upper(): d for n, d in read_all(volume).items()} == {
                n.upper(): d for n, d in seen.items()
            }


def test_reads_what_mformat_writes(tmp_path: Path) -> None:
    top = sources(tmp_path)
    image = tmp_path / "floppy.img"
    oracles.run("mformat", "-C", "-f", "1440", "-v", "MTOOLS", "-i", image, "::")
    oracles.run("mcopy", "-s", "-i", image, *top.iterdir(), "::/")
    with open_raw(image) as medium:
        volume = FatVolume(medium)
        assert (volume.kind, volume.label) == (FatType.FAT12, "MTOOLS")
        assert read_all(volume) == contents(top)


def test_reads_fragmented_files(tmp_path: Path) -> None:
    image = mkfs(tmp_path / "fat.img", MIB, "-F", "12", "-s", "1")
    source = tmp_path / "x"
    for name in ("a", "b", "c", "d"):
        source.write_bytes(name.encode() * 200_000)
        oracles.run("mcopy", "-i", image, source, f"::/{name}")
    oracles.run("mdel", "-i", image, "::/a", "::/c")
    source.write_bytes(random.Random(1).randbytes(350_000))
    oracles.run("mcopy", "-i", image, source, "::/mixed")
    with open_raw(image) as medium:
        volume = FatVolume(medium)
        _, node = find(volume, ("MIXED",))
        assert b"".join(volume.chunks(node)) == source.read_bytes()
        clusters = [entry for entry in volume.entries() if entry.name == "mixed"]
        assert len(list(volume.runs(clusters[0].first_cluster, 684))) > 1


def test_without_mirroring_the_active_fat_counts(tmp_path: Path) -> None:
    """Oracle: mtools. The other FAT is spoiled."""
    top = tmp_path / "top"
    top.mkdir()
    (top / "FILE.BIN").write_bytes(random.Random(1).randbytes(50_000))
    image = mkfs(tmp_path / "x.img", 40 * MIB, "-F", "32", "-s", "1", source=top)
    data = bytearray(image.read_bytes())
    reserved, sectors = (
        int.from_bytes(data[at : at + n], "little") for at, n in ((14, 2), (36, 4))
    )
    data[40:42] = b"\x81\0"
    start = (reserved * 512) + 12
    data[start : start + sectors * 512 - 12] = bytes(sectors * 512 - 12)
    image.write_bytes(data)
    copied = tmp_path / "copied"
    oracles.run("mcopy", "-i", image, "::/FILE.BIN", copied)
    assert copied.read_bytes() == (top / "FILE.BIN").read_bytes()
    with open_raw(image) as medium:
        assert read_all(FatVolume(medium)) == {"FILE.BIN": copied.read_bytes()}


def test_dates_attributes_and_aliases_are_those_of_mdir(tmp_path: Path) -> None:
    image = mkfs(tmp_path / "fat.img", MIB)
    source = tmp_path / "A long name.txt"
    source.write_bytes(b"x" * 1234)
    oracles.run("mcopy", "-i", image, source, "::/")
    oracles.run("mattrib", "+r", "+h", "-a", "-i", image, "::/A long name.txt")
    listing = oracles.run("mdir", "-a", "-i", image, "::/")
    row = re.search(r"ALONGN~1 TXT +(\d+) (\S+) +(\S+)", listing)
    assert row
    with open_raw(image) as medium:
        volume = FatVolume(medium)
        _, node = find(volume, ("ALONGN~1.TXT",))
    assert node.modified
    assert (node.name, node.alias, node.attributes) == ("A long name.txt", "ALONGN~1.TXT", "RH")
    assert node.size == int(row[1])
    assert node.modified.strftime("%Y-%m-%d") == row[2]
    hour, minute = map(int, row[3].split(":"))  # " 8:05" or "08:05", by the version
    assert (node.modified.hour, node.modified.minute) == (hour, minute)


# ---- a small volume to put faults into


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """FAT12, 512-byte clusters: reserved 1, FATs 1+1 sectors, root 4, files in directories."""
    folder = tmp_path_factory.mktemp("small")
    top = folder / "source"
    (top / "DIR").mkdir(parents=True)
    (top / "DIR" / "a long file name.text").write_bytes(b"long" * 300)
    (top / "FILE.BIN").write_bytes(bytes(range(256)) * 8)
    image = folder / "fat.img"
    with image.open("wb") as file:
        file.truncate(256 * 512)
    oracles.run("mkfs.fat", "-F", "12", "-s", "1", "-r", "64", "-n", "SMALL", image)
    oracles.run("mcopy", "-s", "-i", image, top / "DIR", top / "FILE.BIN", "::/")
    return image.read_bytes()


def place_of(data: bytes, name: str) -> tuple[int, int]:
    """(byte of the directory record, first cluster) of a file."""
    with in_memory(data) as medium:
        volume = FatVolume(medium)
        for _, node in walk(volume):
            if node.kind is Kind.DIRECTORY:
                inside = node.place.first_cluster  # type: ignore[attr-defined]
            else:
                continue
            for directory in (0, inside):
                for entry in volume.entries(directory):
                    if entry.name == name:
                        return entry.position, entry.first_cluster
    raise AssertionError(name)


def with_fat12(data: bytes, cluster: int, value: int) -> bytes:
    boot = BootSector.unpack(data[:512])
    offset = boot.reserved * 512 + cluster * 3 // 2
    old = int.from_bytes(data[offset : offset + 2], "little")
    new = (old & 0x000F | value << 4) if cluster % 2 else (old & 0xF000 | value)
    return patched(data, (offset, new.to_bytes(2, "little")))


def chain_fault(data: bytes, name: str = "FILE.BIN") -> ChainFault:
    with in_memory(data) as medium:
        volume = FatVolume(medium)
        _, node = find(volume, (name,))
        with pytest.raises(ChainError) as caught:
            list(volume.chunks(node))
    return caught.value.fault


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (0, ChainFault.FREE),
        (1, ChainFault.OUTSIDE),
        (0xFEF, ChainFault.OUTSIDE),
        (0xFF7, ChainFault.BAD),
        (0xFFF, ChainFault.SHORT),
    ],
)
def test_bad_chains(small: bytes, value: int, fault: ChainFault) -> None:
    _, first = place_of(small, "FILE.BIN")
    assert chain_fault(with_fat12(small, first + 1, value)) is fault


@pytest.mark.parametrize("back", [0, 1, 2])
def test_a_chain_in_a_circle(small: bytes, back: int) -> None:
    position, first = place_of(small, "FILE.BIN")
    looped = with_fat12(small, first + 2, first + back)
    assert chain_fault(looped) is ChainFault.LOOP
    # also when the size says that the loop is never reached the end of
    huge = patched(looped, (position + 28, struct.pack("<I", 0xFFFFFFFF)))
    assert chain_fault(huge) is ChainFault.LOOP


def test_a_file_of_4_gib_on_a_small_volume(small: bytes) -> None:
    position, _ = place_of(small, "FILE.BIN")
    data = patched(small, (position + 28, struct.pack("<I", 0xFFFFFFFF)))
    assert chain_fault(data) is ChainFault.SHORT


def test_a_directory_in_a_circle(small: bytes) -> None:
    with in_memory(small) as medium:
        first = find(FatVolume(medium), ("DIR",))[1].place.first_cluster  # type: ignore[attr-defined]
    with in_memory(with_fat12(small, first, first)) as medium:
        volume = FatVolume(medium)
        # the directory ends within its first cluster, so that nothing is wrong with it
        assert set(read_all(volume)) == {"DIR/a long file name.text", "FILE.BIN"}


def test_a_directory_that_holds_itself(small: bytes) -> None:
    with in_memory(small) as medium:
        volume = FatVolume(medium)
        first = find(volume, ("DIR",))[1].place.first_cluster  # type: ignore[attr-defined]
    position, _ = place_of(small, "a long file name.text")
    data = patched(small, (position + 11, b"\x10"), (position + 26, struct.pack("<H", first)))
    with in_memory(data) as medium:
        names = ["/".join(path) for path, _ in walk(FatVolume(medium))]
    assert names == ["DIR", "FILE.BIN", "DIR/a long file name.text"]


@pytest.mark.parametrize("change", ["checksum", "order", "missing"])
def test_a_long_name_that_does_not_belong(small: bytes, change: str) -> None:
    position, _ = place_of(small, "a long file name.text")
    changes = {
        "checksum": (position - 32 + 13, b"\x00"),
        "order": (position - 32, b"\x02"),
        "missing": (position - 64, b"\xe5"),
    }
    with in_memory(patched(small, changes[change])) as medium:
        volume = FatVolume(medium)
        first = find(volume, ("DIR",))[1].place.first_cluster  # type: ignore[attr-defined]
        entry = next(e for e in volume.entries(first) if e.kind is EntryKind.FILE)
    assert entry.long == ""
    assert entry.name == "ALONGF~1.TEX"
    assert entry.stray_records == (1 if change == "missing" else 2)


@pytest.mark.slow
def test_directories_that_share_their_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each begins a cluster later in one long chain of deleted entries."""
    count = 400
    sectors, fat_sectors = 8192, 32
    boot = struct.pack("<3s8sHBHBHHBHHHII", b"\xeb\x3c\x90", b"x", 512, 1, 1, 1, 512, sectors,
                       0xF8, fat_sectors, 63, 255, 0, 0)  # fmt: skip
    chain = [0xFFF8, 0xFFFF, *range(3, 2 + count), 0xFFFF]
    fat = struct.pack(f"<{len(chain)}H", *chain).ljust(fat_sectors * 512, b"\0")
    rows = b"".join(
        struct.pack("<11sB14xHI", f"D{n:10}".encode(), 0x10, 2 + n, 0) for n in range(count)
    )
    data = boot.ljust(510, b"\0") + b"\x55\xaa" + fat + rows.ljust(512 * 32, b"\0")
    data += (b"\xe5" + bytes(31)) * (16 * count)
    with in_memory(data.ljust(sectors * 512, b"\0")) as medium:
        assert len(list(walk(FatVolume(medium)))) == count
        monkeypatch.setattr("efi_image.formats.files.MAX_SCANNED", 1 << 20)
        with pytest.raises(InputError, match="directories without end"):
            list(walk(FatVolume(medium)))


def test_deleted_entries_are_told_when_asked_for(small: bytes) -> None:
    position, _ = place_of(small, "FILE.BIN")
    with in_memory(patched(small, (position, b"\xe5"))) as medium:
        volume = FatVolume(medium)
        assert [e.kind for e in volume.entries()] == [EntryKind.LABEL, EntryKind.DIRECTORY]
        deleted = [e for e in volume.entries(deleted=True) if e.kind is EntryKind.DELETED]
    assert [entry.size for entry in deleted] == [2048]


def test_name_bytes_with_a_meaning_of_their_own(small: bytes) -> None:
    position, _ = place_of(small, "FILE.BIN")
    data = patched(small, (position, b"\x05ILE    BIN"), (position + 12, b"\x18"))
    with in_memory(data) as medium:
        names = [e.name for e in FatVolume(medium).entries() if e.kind is EntryKind.FILE]
    assert names == [b"\xe5".decode("cp437").lower() + "ile.bin"]
    assert checksum(b"\x05ILE    BIN") != checksum(b"\xe5ILE    BIN")


def test_dates() -> None:
    assert Timestamp(0, 0).datetime() is None
    assert str(Timestamp(1 << 5 | 1, 0).datetime()) == "1980-01-01 00:00:00"
    assert (
        str(Timestamp(127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29).datetime())
        == "2107-12-31 23:59:58"
    )
    assert Timestamp(1 << 5 | 1, 24 << 11).datetime() is None


@pytest.mark.parametrize(
    "change",
    [
        (11, struct.pack("<H", 513)),
        (13, b"\x00"),
        (13, b"\x03"),
        (14, b"\x00\x00"),
        (16, b"\x00"),
        (17, b"\xff\xff"),
        (19, b"\x01\x00"),
        (19, b"\x00\x00"),
        (22, b"\xff\xff"),
    ],
)
def test_boot_sectors_past_use(small: bytes, change: tuple[int, bytes]) -> None:
    data = patched(small, change)
    assert not looks_like_fat(data[:512])
    with in_memory(data) as medium, pytest.raises(InputError, match="is not a FAT volume"):
        FatVolume(medium)


def test_fsinfo(tmp_path: Path) -> None:
    image = mkfs(tmp_path / "fat.img", 40 * MIB, "-F", "32", "-s", "1")
    with open_raw(image) as medium:
        volume = FatVolume(medium)
        info = FsInfo.unpack(medium.read(volume.boot.fsinfo_sector * 512, 512))
        assert info.valid
        assert info.free == sum(page.count(0) for page in volume.table()) == volume.clusters - 1
    assert not FsInfo.unpack(bytes(512)).valid


def exercise(medium: Medium) -> None:
    """Read all of what may be an image; only InputError may come of it."""
    try:
        disk = read_disk(medium)
    except InputError:
        return
    for partition in disk.partitions:
        try:
            volume = disk.volume(partition)
            assert len(volume.label) < 100
            for _, node in walk(volume):
                if node.kind is Kind.FILE and node.size < 1 << 20:
                    with suppress(InputError):
                        assert sum(map(len, volume.chunks(node))) == node.size
        except InputError:
            pass


CHANGES = st.lists(
    st.tuples(st.integers(0, 12 * 512), st.binary(min_size=1, max_size=4)), min_size=1, max_size=12
)
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@given(changes=CHANGES)
@relaxed
def test_a_damaged_volume_never_hangs_or_crashes(
    small: bytes, changes: list[tuple[int, bytes]]
) -> None:
    with in_memory(patched(small, *changes)) as medium:
        exercise(medium)


@given(data=st.binary(max_size=4096))
@relaxed
def test_random_bytes_are_an_input_error_or_unknown(data: bytes) -> None:
    with in_memory(data) as medium:
        exercise(medium)
    with in_memory(data) as medium, suppress(InputError):
        FatVolume(medium)
