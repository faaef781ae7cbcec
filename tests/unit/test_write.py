"""Writing to plain files: every form of image, every kind of target."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import check_gpt, run
from writing import (
    MIB,
    PAYLOAD,
    SIZE,
    Misbehaving,
    assert_whole,
    boots,
    image,
    make_image,
    old_stick,
    write,
)

from efi_image.cli import main
from efi_image.disk import Table
from efi_image.errors import (
    DoesNotFitError,
    InputError,
    NotAsWritten,
    OutputError,
    UsageError,
    ZppError,
)
from efi_image.gpt import Gpt, Partition
from efi_image.partition_types import ESP
from efi_image.reader.gpt import read_gpt
from efi_image.reader.medium import open_raw
from efi_image.write import state
from efi_image.write.bmap import read_bmap
from efi_image.write.pieces import GRAIN, PIECE, Assembler
from efi_image.write.probe import places, probe
from efi_image.write.source import open_source, part_of
from efi_image.write.table import fit
from efi_image.write.target import open_file
from efi_image.write.writer import Phase, WriteOptions, Writer

__all__ = ["image"]

PACKERS = {
    "gz": ("gzip", "-k"), "xz": ("xz", "-k", "-0"), "zst": ("zstd", "-q", "-k"),
}  # fmt: skip


def pack(image: Path, suffix: str) -> Path:
    run(*PACKERS[suffix], image)
    return image.with_name(image.name + f".{suffix}")


def convert(image: Path, form: str) -> Path:
    made = image.with_suffix(f".{form}")
    run("qemu-img", "convert", "-O", form, image, made)
    return made


FORMS: dict[str, Callable[[Path], Path]] = {
    "raw": lambda image: image,
    **{form: (lambda image, form=form: pack(image, form)) for form in PACKERS},  # type: ignore[misc]
    **{form: (lambda image, form=form: convert(image, form)) for form in ("qcow2", "vmdk")},  # type: ignore[misc]
    "qcow2.gz": lambda image: pack(convert(image, "qcow2"), "gz"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written(form: str, image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + 7 * MIB)
    report = write(FORMS[form](image), stick)
    assert_whole(image, stick)
    assert report.size == SIZE
    assert report.moved_table
    assert report.verified == report.written + report.zeroed
    assert PAYLOAD < report.written < PAYLOAD + MIB


def test_a_stick_of_the_images_size_is_the_image(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    report = write(image, stick)
    assert not report.moved_table
    assert stick.read_bytes() == image.read_bytes()


def test_a_packed_image_fills_the_stick(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    write(pack(image, "xz"), stick)
    assert stick.read_bytes() == image.read_bytes()


def test_a_new_file_gets_the_images_size(image: Path, tmp_path: Path) -> None:
    stick = tmp_path / "new.img"
    target = open_file(stick, SIZE)
    with open_source(image) as source:
        report = Writer(source, target).write()
    target.close()
    assert stick.read_bytes() == image.read_bytes()
    assert report.zeroed == 0
    assert stick.stat().st_blocks * 512 < PAYLOAD + 2 * MIB


def test_a_new_file_needs_a_size(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist, and the image's size is not known"):
        open_file(tmp_path / "new.img", None)
    assert not (tmp_path / "new.img").exists()


@pytest.mark.parametrize("table", [Table.MBR, Table.NONE, Table.ISO])
def test_other_tables(table: Table, tmp_path: Path) -> None:
    image = make_image(tmp_path, table=table)
    stick = old_stick(tmp_path, SIZE + 3 * MIB)
    write(image, stick)
    wanted, found = image.read_bytes(), stick.read_bytes()
    if table is Table.ISO:
        check_gpt(stick)
        assert found[GRAIN : SIZE - 33 * 512] == wanted[GRAIN : -33 * 512]
        assert found[16 * 2048 : GRAIN] == wanted[16 * 2048 : GRAIN]
    else:
        assert found[:SIZE] == wanted


def test_a_size_that_is_no_whole_sector(tmp_path: Path) -> None:
    image = tmp_path / "odd.img"
    image.write_bytes(os.urandom(3 * MIB + 5))
    stick = old_stick(tmp_path, 4 * MIB + 300)
    report = write(image, stick)
    assert report.size == 3 * MIB + 5
    assert stick.read_bytes()[: 3 * MIB + 5] == image.read_bytes()


@pytest.mark.parametrize("suffix", ["", "zst"])
def test_a_stick_that_is_too_small(suffix: str, image: Path, tmp_path: Path) -> None:
    packed = pack(image, suffix) if suffix else image
    stick = old_stick(tmp_path, 4 * MIB)
    before = stick.read_bytes()
    with pytest.raises(DoesNotFitError):
        write(packed, stick)
    assert stick.read_bytes() == before  # the table tells where its partitions end


# ---- holes


def test_old_content_does_not_show_in_holes(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    assert write(image, stick).zeroed > 8 * MIB


def test_holes_are_left_alone_when_asked(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    assert write(image, stick, WriteOptions(skip_holes=True)).zeroed == 0
    hole = slice(SIZE - 4 * MIB, SIZE - MIB)
    assert stick.read_bytes()[hole] == before[hole]
    assert_whole(image, stick, holes=False)


class Pieces:
    """Keeps what an assembler gives."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.lent = 0

    def piece(self, offset: int, view: memoryview) -> None:
        self.pieces.append((offset, bytes(view)))

    def lend(self) -> memoryview | None:
        self.lent += 1
        return memoryview(bytearray(PIECE))

    def cell(self, offset: int, buffer: memoryview) -> None:
        self.lent -= 1
        self.piece(offset, buffer)

    def release(self, buffer: memoryview) -> None:
        self.lent -= 1


def test_cells_are_filled_where_they_are_lent() -> None:
    """Whole ones without a copy; one with a hole in it is cut."""
    told = Pieces()
    assembler = Assembler(told)
    full, torn = os.urandom(PIECE), os.urandom(GRAIN) + bytes(PIECE - GRAIN)

    def put(data: bytes) -> Callable[[memoryview], None]:
        return lambda view: view.__setitem__(slice(None), data)

    assembler.data(7, memoryview(b"before"))
    for cell, data in ((1, full), (2, torn), (3, bytes(PIECE)), (4, full[:GRAIN])):
        assembler.fill(cell * PIECE, len(data), put(data))
    with pytest.raises(InputError):
        assembler.fill(5 * PIECE, PIECE, fails)
    assembler.finish()
    assert told.lent == 0
    assert [offset for offset, _ in told.pieces] == [0, PIECE, 2 * PIECE, 4 * PIECE]
    assert [data for _, data in told.pieces[1:]] == [full, torn[:GRAIN], full[:GRAIN]]


def fails(_view: memoryview) -> None:
    raise InputError("fails")


def test_the_assembler_cuts_on_the_grid() -> None:
    told = Pieces()
    assembler = Assembler(told)
    for position, data in (
        (5, b"a"), (GRAIN + 1, b"b"), (3 * GRAIN, bytes(GRAIN)), (4 * GRAIN - 1, b"c"),
        (PIECE - 1, b"de"), (9 * PIECE, os.urandom(PIECE)), (11 * PIECE + 7, b"f"),
    ):  # fmt: skip
        assembler.data(position, memoryview(data))
    assembler.finish()
    shown = [(offset, len(data)) for offset, data in told.pieces]
    assert shown == [
        (0, 2 * GRAIN), (3 * GRAIN, GRAIN), (PIECE - GRAIN, GRAIN), (PIECE, GRAIN),
        (9 * PIECE, PIECE), (11 * PIECE, GRAIN),
    ]  # fmt: skip
    whole = bytearray(12 * PIECE)
    for offset, data in told.pieces:
        whole[offset : offset + len(data)] = data
    assert whole[5:6] + whole[GRAIN + 1 : GRAIN + 2] + whole[PIECE - 1 : PIECE + 1] == b"abde"
    assert whole[11 * PIECE : 11 * PIECE + GRAIN] == bytes(7) + b"f" + bytes(GRAIN - 8)


# ---- block maps


def test_a_bmap_of_our_own(tmp_path: Path) -> None:
    image = make_image(tmp_path, bmap=True)
    check_bmap(image, image.with_suffix(".bmap"), tmp_path)


def test_a_bmap_of_bmaptool(image: Path, tmp_path: Path) -> None:
    run("bmaptool", "create", "-o", tmp_path / "made.bmap", image)
    check_bmap(image, tmp_path / "made.bmap", tmp_path)


def check_bmap(image: Path, bmap: Path, folder: Path) -> None:
    for number, packed in enumerate((image, pack(image, "gz"))):
        stick = old_stick(folder, SIZE, f"stick{number}")
        target = open_file(stick, None)
        with open_source(packed, read_bmap(bmap)) as source:
            assert source.size == SIZE
            Writer(source, target).write()
        target.close()
        assert stick.read_bytes() == image.read_bytes()


def test_an_image_that_is_not_its_bmaps(tmp_path: Path) -> None:
    image = make_image(tmp_path, bmap=True)
    with image.open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"other")
    stick = old_stick(tmp_path, SIZE)
    target = open_file(stick, None)
    with (
        open_source(image, read_bmap(image.with_suffix(".bmap"))) as source,
        pytest.raises(InputError, match=r"bytes .* are not those that .*image.bmap is of"),
    ):
        Writer(source, target).write()
    target.close()
    assert not boots(stick)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is no XML"),
        ("<bmap version='3.0'/>", "is no bmap file of version 1 or 2"),
        ("<bmap version='2.0'><ChecksumType>md5</ChecksumType></bmap>", "unknown kind: md5"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><bmap version='1.3'/>", "declares a document type"),
        ("<bmap version='1.3'><ImageSize> 9 </ImageSize></bmap>", "has no BlockSize"),
        (
            "<bmap version='1.3'><ImageSize>9</ImageSize><BlockSize>4096</BlockSize>"
            "<BlockMap><Range>7-3</Range></BlockMap></bmap>",
            "out of order",
        ),
        (
            "<bmap version='1.3'><ImageSize>9</ImageSize><BlockSize>4096</BlockSize>"
            "<BmapFileSHA1>" + "a" * 40 + "</BmapFileSHA1></bmap>",
            "is damaged",
        ),
    ],
)
def test_bad_bmaps(text: str, what: str, tmp_path: Path) -> None:
    bmap = tmp_path / "bad.bmap"
    bmap.write_text(text)
    with pytest.raises(InputError, match=what):
        read_bmap(bmap)


# ---- again, and on


def test_delta_writes_what_differs(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    write(image, stick)
    with stick.open("r+b") as file:
        file.seek(3 * MIB + 17)
        file.write(b"changed")
    report = write(image, stick, WriteOptions(delta=True))
    assert 2 * GRAIN < report.written < 4 * GRAIN  # with both ends of the stick
    assert report.kept > PAYLOAD - GRAIN
    assert report.zeroed == 0
    assert_whole(image, stick)


def test_nothing_to_resume(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    with pytest.raises(InputError, match="holds no unfinished write"):
        write(image, stick, WriteOptions(resume=True))
    write(image, stick)
    with pytest.raises(InputError, match="holds no unfinished write"):
        write(image, stick, WriteOptions(resume=True))
    assert before != stick.read_bytes() == image.read_bytes()


def test_resuming_another_image(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    note = state.Unfinished("other.img", "ab" * 32, 5 * MIB)
    with stick.open("r+b") as file:
        file.write(bytes(4096) + note.block())
    with pytest.raises(InputError, match=r"was being written with another image: other.img"):
        write(image, stick, WriteOptions(resume=True))


def test_resuming_needs_reading_back(image: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not go with --no-verify"):
        write(image, old_stick(tmp_path, SIZE), WriteOptions(resume=True, verify=False))


def test_notes_survive_strange_names() -> None:
    for note in (state.Unfinished("ä\n\0" * 900, "00", 3), state.Unfinished("", "", 0)):
        found = state.parse(note.block())
        assert found is not None
        assert (found.head, found.done) == (note.head, note.done)
        assert len(note.block()) == state.BLOCK
    for text in (b"", b"{}", b"[1]", b"[" * 4000, b"9" * 4000, b"\xff"):
        block = b"zpp-image: unfinished write\n" + text
        assert state.parse(block.ljust(4096, b"\0")) is None
    assert state.parse(bytes(4096)) is None


# ---- sectors of 4096 bytes


def test_a_table_is_converted_to_the_sticks_sectors(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    report = write(image, stick, medium=Misbehaving(stick, 4096))
    assert "counts sectors of 4096 bytes now" in report.notes[0]
    check_converted(stick, image, 4096)


def test_a_table_is_converted_to_smaller_sectors(tmp_path: Path) -> None:
    image = make_image(tmp_path, size=32 * MIB, sector_size=4096)
    stick = old_stick(tmp_path, 33 * MIB)
    report = write(image, stick)
    assert "counts sectors of 512 bytes now" in report.notes[0]
    check_converted(stick, image, 512)
    check_gpt(stick)


def check_converted(stick: Path, image: Path, sector_size: int) -> None:
    other = 4096 + 512 - sector_size
    with open_raw(stick) as medium, open_raw(image) as original:
        table, before = read_gpt(medium, sector_size), read_gpt(original, other)
        assert table is not None
        assert table.primary is not None
        assert table.backup is not None
        assert before is not None
        assert before.primary is not None
        for half in (table.primary, table.backup):
            assert half.header.crc_right
            assert half.entries_crc_right
            assert half.header.disk_guid == before.primary.header.disk_guid
            places = [(e.first_lba * sector_size, e.sectors * sector_size) for e in half.entries]
            wanted = [(e.first_lba * other, e.sectors * other) for e in before.primary.entries]
            assert places == wanted
            assert half.header.first_usable * sector_size <= places[0][0]
        assert read_gpt(medium, other) is None
        start, size = wanted[0]
        assert medium.read(start, size) == original.read(start, size)


def test_a_table_for_the_sticks_sectors_is_as_it_was(tmp_path: Path) -> None:
    image = make_image(tmp_path, size=32 * MIB, sector_size=4096)
    stick = old_stick(tmp_path, 32 * MIB)
    report = write(image, stick, medium=Misbehaving(stick, 4096))
    assert report.notes == ()
    assert stick.read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    ("table", "what"),
    [(Table.MBR, "has an MBR that counts 512-byte"), (Table.NONE, "is a FAT volume of 512-byte")],
)
def test_what_cannot_be_converted_is_refused(table: Table, what: str, tmp_path: Path) -> None:
    image = make_image(tmp_path, table=table)
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    with pytest.raises(UsageError, match=what):
        write(image, stick, medium=Misbehaving(stick, 4096))
    assert stick.read_bytes() == before


@pytest.mark.parametrize(
    ("first", "sectors"), [(1 << 62, 8), ((1 << 64) - 8, 8), (1 << 62, 1 - (1 << 62))]
)
def test_tables_out_of_bounds_are_refused(first: int, sectors: int) -> None:
    partition = Partition(ESP.guid, ESP.guid, first, sectors)
    head = Gpt(1 << 13, 4096, ESP.guid, (partition,)).primary().ljust(GRAIN, b"\0")
    with pytest.raises((DoesNotFitError, UsageError)):
        fit(head, 64 * MIB, 512, "stick")


def test_partitions_between_large_sectors_are_refused(image: Path, tmp_path: Path) -> None:
    run("sgdisk", "-d", "1", "-a", "1", "-n", "2:2049:3000", image)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(UsageError, match="has a partition at byte 1049088 that does not"):
        write(image, stick, medium=Misbehaving(stick, 4096))


# ---- faulty targets


def test_a_wrong_byte_is_found(image: Path, tmp_path: Path) -> None:
    for place in (3 * MIB + 4321, 700, GRAIN - 1, SIZE - MIB):
        stick = old_stick(tmp_path, SIZE)
        medium = Misbehaving(stick)
        medium.flipped = place
        with pytest.raises(NotAsWritten, match=f"first at byte {place};"):
            write(image, stick, medium=medium)
        assert not boots(stick)


class Piecemeal(Misbehaving):
    """Takes and gives three sectors at a time, as a kernel may when memory is short."""

    def _pwrite(self, view: memoryview, offset: int) -> int:
        return super()._pwrite(view[:1536], offset)

    def _pread(self, view: memoryview, offset: int) -> int:
        return super()._pread(view[:1536], offset)


def test_short_writes_and_reads_go_on(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    report = write(image, stick, medium=Piecemeal(stick))
    assert report.verified == report.written + report.zeroed
    assert_whole(image, stick)


class Impatient(Misbehaving):
    """Whose user presses Ctrl-C when it is cleared after a fault."""

    cleared = 0

    def write(self, offset: int, view: memoryview) -> None:
        if offset == 0 and not any(view):
            self.cleared += 1
            if self.cleared == 2:
                signal.raise_signal(signal.SIGINT)
        super().write(offset, view)


def test_a_signal_does_not_keep_a_wrong_stick_bootable(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    medium = Impatient(stick)
    medium.flipped = 700  # found when the first sector is there
    with pytest.raises(KeyboardInterrupt) as caught:
        write(image, stick, medium=medium)
    assert medium.cleared == 2
    assert isinstance(caught.value.__context__, NotAsWritten)
    assert not boots(stick)


class Dying(Misbehaving):
    """Takes its first sector, and nothing after that."""

    dead = False

    def write(self, offset: int, view: memoryview) -> None:
        if self.dead:
            raise OutputError("fails", where=self.name)
        super().write(offset, view)
        self.dead = offset == 0 and any(view)

    def flush(self) -> None:
        if self.dead:
            raise OutputError("fails", where=self.name)
        super().flush()


def test_what_could_not_be_cleared_is_said(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is told that a stick does not boot which does."""
    stick = old_stick(tmp_path, SIZE)
    monkeypatch.setattr("efi_image.write.job.open_file", lambda path, _: Dying(path))
    assert main(["write", str(image), str(stick)]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert "not finished, and it could not be cleared again: do not boot from it" in told.err
    assert boots(stick)


class Hesitant(Misbehaving):
    """Fails once, when it is flushed with a first sector."""

    done = False

    def flush(self) -> None:
        if not self.done and os.pread(self.descriptor(), 512, 0)[510:] == b"\x55\xaa":
            self.done = True
            raise OutputError("fails", where=self.name)
        super().flush()


def test_what_was_cleared_at_the_end_is_written_again(tmp_path: Path) -> None:
    """The image reaches to the last byte, which is cleared with all that may boot."""
    image = make_image(tmp_path, table=Table.MBR)
    with image.open("r+b") as file:
        file.seek(SIZE - 12345)
        file.write(b"end" * 4115)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(OutputError, match="fails"):
        write(image, stick, medium=Hesitant(stick))
    assert not boots(stick)
    report = write(image, stick, WriteOptions(resume=True))
    assert report.kept > PAYLOAD - PIECE
    assert stick.read_bytes() == image.read_bytes()


def test_labels_at_the_end_are_cleared(tmp_path: Path) -> None:
    """Such as those of RAID (64 KiB before the end) and ZFS (512 KiB)."""
    image = make_image(tmp_path, table=Table.NONE)
    stick = old_stick(tmp_path, SIZE + 8 * MIB + 512)
    write(image, stick)
    assert not any(stick.read_bytes()[-MIB:])
    for size in (2 * GRAIN, 3 * GRAIN):
        image.write_bytes(b"x" * size)
        stick = old_stick(tmp_path, size)
        write(image, stick)
        assert stick.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("form", ["gz", "qcow2"])
def test_a_wrong_byte_of_a_packed_image_is_found(form: str, image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    medium = Misbehaving(stick)
    medium.flipped = 4 * MIB + 99
    with pytest.raises(NotAsWritten, match=f"first at byte {4 * MIB + 99};"):
        write(FORMS[form](image), stick, medium=medium)
    report = write(image, stick, WriteOptions(resume=True))
    assert report.kept
    assert stick.read_bytes() == image.read_bytes()


def test_parts_of_a_packed_image(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    with open_source(pack(image, "zst")) as source:
        for offset, count in ((0, 10), (MIB - 3, 3 * MIB), (SIZE - 5, 5)):
            assert part_of(source, offset, count) == data[offset : offset + count]


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_an_image_that_is_cut_short(suffix: str, image: Path, tmp_path: Path) -> None:
    packed = pack(image, suffix)
    os.truncate(packed, packed.stat().st_size - 1000)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(ZppError):
        write(packed, stick)
    assert not boots(stick)


def test_the_probe_finds_fakes(tmp_path: Path) -> None:
    stick = old_stick(tmp_path, 16 * MIB)
    for real in (16 * MIB, 8 * MIB, 4 * MIB, 5 * MIB):
        medium = Misbehaving(stick)
        medium.real = real
        if real == 16 * MIB:
            probe(medium)
        elif real & (real - 1) == 0:
            with pytest.raises(NotAsWritten, match="says it has 16777216 bytes, but loses"):
                probe(medium)
        medium.close()


def test_the_probe_goes_everywhere() -> None:
    for size in (4096, 2 * MIB, 16 << 30, (16 << 30) + 512 * 77):
        found = places(size)
        assert found[-1] == size // 4096 * 4096 - 4096
        assert found == sorted(set(found))
        assert all(place % 4096 == 0 for place in found)
        assert len(found) < 2000
        gaps = [b - a for a, b in itertools.pairwise(found)]
        assert max(gaps, default=0) <= max(64 * MIB, size // 16)


# ---- order


class Recording(Misbehaving):
    """Notes all that is done to it."""

    def __init__(self, stick: Path) -> None:
        super().__init__(stick)
        self.seen: list[tuple[str, int, bytes]] = []

    def write(self, offset: int, view: memoryview) -> None:
        self.seen.append(("write", offset, bytes(view)))
        super().write(offset, view)

    def read(self, offset: int, view: memoryview) -> None:
        self.seen.append(("read", offset, b""))
        super().read(offset, view)

    def flush(self) -> None:
        self.seen.append(("flush", 0, b""))
        super().flush()

    def drop_caches(self) -> None:
        self.seen.append(("drop", 0, b""))
        super().drop_caches()


def test_power_may_fail_at_any_time(image: Path, tmp_path: Path) -> None:
    """Whatever was not flushed may be lost, in any order: it boots only when it is whole."""
    import random  # noqa: PLC0415

    stick = old_stick(tmp_path, SIZE + MIB)
    before = stick.read_bytes()
    medium = Recording(stick)
    write(image, stick, WriteOptions(checkpoint=0), medium)
    whole = stick.read_bytes()
    dice = random.Random(7)
    for _ in range(60):
        end = dice.randrange(len(medium.seen) + 1)
        model, waiting = bytearray(before), []
        for what, offset, data in medium.seen[:end]:
            if what == "write":
                waiting.append((offset, data))
            elif what == "flush":
                for place, kept in waiting:
                    model[place : place + len(kept)] = kept
                waiting = []
        for place, kept in waiting:
            if dice.random() < 0.5:
                model[place : place + len(kept)] = kept
        begun = any(what == "flush" for what, *_ in medium.seen[:end])
        assert not begun or not any(model[:512]) or model == whole


def test_the_first_block_is_written_after_all_was_read_back(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    medium = Recording(stick)
    write(image, stick, medium=medium)
    kinds = [what for what, *_ in medium.seen]
    firsts = [n for n, (what, offset, data) in enumerate(medium.seen)
              if what == "write" and offset == 0]  # fmt: skip
    cleared, last = firsts
    assert not any(medium.seen[cleared][2])
    assert kinds[last - 1] == "flush"
    drop = kinds.index("drop")
    reads = [n for n, what in enumerate(kinds) if what == "read" and drop < n < last]
    assert len(reads) >= PAYLOAD // PIECE
    assert medium.seen[last][2] == image.read_bytes()[:512]
    assert kinds[last + 1 : last + 4] == ["flush", "drop", "read"]


class Told:
    """Keeps what progress tells."""

    def __init__(self) -> None:
        self.steps: dict[Phase, list[tuple[int, int]]] = {phase: [] for phase in Phase}

    def watch(self, phase: Phase) -> Callable[[int, int], None]:
        return lambda done, total: self.steps[phase].append((done, total))


def test_progress_is_told(image: Path, tmp_path: Path) -> None:
    for packed in (image, pack(image, "gz")):
        told = Told()
        target = open_file(old_stick(tmp_path, SIZE), None)
        with open_source(packed) as source:
            Writer(source, target, watch=told.watch).write()
        target.close()
        for steps in told.steps.values():
            assert steps
            assert all(0 < done <= total for done, total in steps)
            assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_what_bmaptool_writes_is_the_same(tmp_path: Path) -> None:
    """On a file of zeros, where a hole is a hole to both."""
    image = make_image(tmp_path, bmap=True)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        with path.open("wb") as file:
            file.truncate(SIZE)
    write(image, ours)
    command = ["bmaptool", "copy", "--bmap", str(image.with_suffix(".bmap"))]
    subprocess.run([*command, image, theirs], check=True, capture_output=True)
    assert ours.read_bytes() == theirs.read_bytes()
