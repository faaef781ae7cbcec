"""The parsers of untrusted data, as functions of a byte string. Each is an entry of TARGETS.

For any bytes, a target must return or raise a ZppError. Any other exception, a hang or unlimited
memory use is a bug. The property tests (tests/unit/test_parsers.py) and the fuzzer (fuzz.py) run
all targets.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from uuid import UUID

from makepe import make_pe

from efi_image.config import environment, manifest
from efi_image.errors import InputError, ZppError
from efi_image.flash import resume
from efi_image.flash.boot_areas import HEAD
from efi_image.flash.recognition import recognize
from efi_image.flash.source import RawSource
from efi_image.formats import zpp_conf
from efi_image.formats.bmap import BmapBuilder, read_bmap
from efi_image.formats.disk import read_disk
from efi_image.formats.fat import FatType, Tree, VolumeContents, VolumeIdentity, plan
from efi_image.formats.fat.geometry import choose
from efi_image.formats.fat.long_names import pack_long_name
from efi_image.formats.fat.names import parse_path, short_names
from efi_image.formats.files import Kind, show_path, walk
from efi_image.formats.gpt import relocate
from efi_image.formats.gpt.structures import SECTOR_SIZES, SIGNATURE, GptCopy, PartitionEntry
from efi_image.formats.gpt.types import ESP
from efi_image.formats.gpt.writer import create, pack_backup, pack_primary
from efi_image.formats.load_option import GptPartition, LoadOption, file_device_path
from efi_image.formats.pe import uefi
from efi_image.inspect.pe import pe_facts
from efi_image.io.medium import Medium
from efi_image.io.sink import Sink
from efi_image.io.source import BytesSource
from efi_image.verify import Options
from efi_image.verify.report import check_medium

READ = 64  # chunks of a file that a target reads
STICK = 64 << 20  # bytes of a stick


@dataclass(frozen=True)
class Target:
    """A parser, and byte strings that it accepts, or nearly."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]


def refused(target: Target, data: bytes) -> bool:
    """Whether the parser raises a ZppError for the bytes, which is not a bug."""
    try:
        target.run(data)
    except ZppError as error:
        if not str(error).isprintable():
            raise RuntimeError("an error with a control character") from error
        return True
    return False


# ---- the parsers


def parse_names(data: bytes) -> None:
    names = parse_path(os.fsdecode(data))
    assert parse_path(show_path(names)) == names
    for name, short in zip(names, short_names(names), strict=True):
        assert len(short) == 11
        assert len(pack_long_name(name, short)) % 32 == 0


def parse_conf(data: bytes) -> None:
    read = zpp_conf.parse(data)
    assert zpp_conf.parse(read.to_text().encode()) == read


def parse_option(data: bytes) -> None:
    option = LoadOption.unpack(data)
    if option is None:
        raise InputError("is malformed")
    assert isinstance(option.file, str)
    assert option.partition is None or option.partition.number >= 0
    assert LoadOption.unpack(option.pack()) == option


def parse_config(data: bytes) -> None:
    environment.parse_bytes(data, "environment.config")


def parse_manifest(data: bytes) -> None:
    manifest.parse(data.decode("utf-8", "replace"), Path("a/image.toml"))


def parse_pe(data: bytes) -> None:
    source = BytesSource("x.efi", data)
    uefi.is_linux(source)
    uefi.identify(source)


def parse_disk(data: bytes) -> None:
    """Reads all partitions, all names and the beginnings of all files on an image."""
    with in_memory(data) as medium:
        disk = read_disk(medium)
        for partition in disk.partitions:
            if disk.has_volume(partition):
                volume = disk.volume(partition)
                for _, node in islice(walk(volume), 1000):
                    if node.kind is Kind.FILE:
                        list(islice(volume.chunks(node), READ))


@contextmanager
def in_memory(data: bytes) -> Iterator[Medium]:
    """The bytes as an image."""
    descriptor = os.memfd_create("image")
    try:
        os.pwrite(descriptor, data, 0)
        yield Medium(descriptor, "x.img", 0, len(data))
    finally:
        os.close(descriptor)


def verify_image(data: bytes) -> None:
    with in_memory(data) as medium:
        check_medium(medium, Options())


def facts_of_pe(data: bytes) -> None:
    pe_facts([data], "x.efi")


def parse_bmap(data: bytes) -> None:
    with in_memory(data) as medium:
        found = read_bmap(f"/proc/self/fd/{medium.descriptor}")
    before = 0
    for start, end in found.extents():
        if not before <= start < end <= found.size:
            raise RuntimeError("a range that is out of order")
        before = end


def fit_stick(data: bytes) -> None:
    """Parses what a write reads of an image and a stick, and fits a table to the stick."""
    note = resume.parse(data[: resume.BLOCK])
    head = _with_valid_checksums(data[:HEAD].ljust(HEAD, b"\0"))
    refusals = []
    for sector_size in SECTOR_SIZES:
        try:
            _fit(head, sector_size)
        except ZppError as error:
            refusals.append(error)
    if note is None and len(refusals) == len(SECTOR_SIZES):  # one size is always refused
        raise refusals[0]


def _fit(head: bytes, sector_size: int) -> None:
    table = _recognized(head, sector_size)
    for size in (STICK, STICK + 512 * 77):
        if table is None:
            continue
        fitted = relocate.fit(table, head, size, sector_size, "stick")
        end = size // sector_size * sector_size
        if len(fitted.head) != HEAD or fitted.start < HEAD:
            raise RuntimeError("a head of another size, or a tail in it")
        if fitted.start + len(fitted.tail) != end or fitted.start % sector_size:
            raise RuntimeError("a tail that does not end with the stick")
        again = _recognized(fitted.head, sector_size)
        if again and relocate.fit(again, fitted.head, size, sector_size, "stick") != fitted:
            raise RuntimeError("a table that does not fit yet")


def _recognized(head: bytes, sector_size: int) -> GptCopy | None:
    """The primary table of an image with these first bytes."""
    with in_memory(head) as medium:
        os.truncate(medium.descriptor, STICK)
        image = replace(medium, size=STICK)
        return recognize(RawSource(image), STICK, sector_size).table


def _with_valid_checksums(head: bytes) -> bytes:
    """The same with valid checksums, so that the fuzzer gets past them."""
    raw = bytearray(head)
    for place in SECTOR_SIZES:
        length, lba, count, size = (
            int.from_bytes(raw[place + start : place + end], "little")
            for start, end in ((12, 16), (72, 80), (80, 84), (84, 88))
        )
        if raw[place : place + 8] != SIGNATURE or length > place or count * size > 1 << 15:
            continue
        rows = raw[lba * place : lba * place + count * size]
        raw[place + 88 : place + 92] = zlib.crc32(rows).to_bytes(4, "little")
        raw[place + 16 : place + 20] = bytes(4)
        digest = zlib.crc32(raw[place : place + length])
        raw[place + 16 : place + 20] = digest.to_bytes(4, "little")
    return bytes(raw)


# ---- seeds


def conf_seeds() -> list[bytes]:
    entry = zpp_conf.BootEntry("linux", "\\EFI\\zpp\\kernel.efi", "\\initrd.img", "quiet")
    written = zpp_conf.ZppConf(default="linux", entries=(entry,)).to_text()
    return [written.encode(), b"# comment\r\n[a]\r\npath = b\r\n"]


def option_seeds() -> list[bytes]:
    partition = GptPartition(1, 2048, 81920, UUID(int=1))
    path = file_device_path(partition, "\\EFI\\zpp\\ZppBoot.efi")
    return [LoadOption("zpp", path, data=b"data").pack(), LoadOption("", b"").pack()]


def config_seeds() -> list[bytes]:
    return [b"CONFIGURATION := debug\nSERIAL_PORT := 0x2f8\n# comment\n\n", b"SSH_PORT := 22\n"]


def manifest_seeds() -> list[bytes]:
    return [
        b'size = "64M"\nhypervisor = false\nboot = "a.efi"\n'
        b'[[files]]\nsource = "a"\ntarget = "/b"\n[[partitions]]\nsource = "p"\ntype = "linux"\n'
    ]


def names_seeds() -> list[bytes]:
    return [b"\\EFI\\BOOT\\BOOTX64.EFI", "EFI/a long name äöü.tar.gz/ſ.\U0001f600".encode()]


def pe_seeds() -> list[bytes]:
    return [make_pe(), make_pe(0x14C), make_pe(reloc_size=0, text=b"x" * 1000)]


def fat_volume(sectors: int, kind: FatType | None = None) -> bytes:
    tree = Tree()
    for path in ("EFI/BOOT/BOOTX64.EFI", "EFI/a long name äöü.txt", "empty"):
        tree.add(parse_path(path), BytesSource(path, path.encode() * 100))
    contents = VolumeContents(tree)
    layout = choose(sectors, 512, contents.fits, kind)
    assert layout
    volume = plan(contents, VolumeIdentity(1, "ZPP", 0), layout)
    descriptor = os.memfd_create("volume")
    try:
        sink = Sink(descriptor, "volume")
        volume.write(sink)
        sink.finish()
        return os.pread(descriptor, sink.position, 0)
    finally:
        os.close(descriptor)


def gpt_disk(volume: bytes) -> bytes:
    first, sectors = 34, len(volume) // 512
    esp = PartitionEntry(ESP.guid, ESP.guid, first, first + sectors - 1)
    gpt = create(first + sectors + 33, 512, ESP.guid, (esp,))
    return pack_primary(gpt) + volume + pack_backup(gpt)


@lru_cache
def disk_seeds() -> list[bytes]:
    """Volumes of each FAT type, without most of their free clusters, and a partitioned disk."""
    small = fat_volume(64)
    return [small, fat_volume(4300)[: 64 << 10], gpt_disk(small), fat_volume(67000)[: 600 << 10]]


def bmap_seeds() -> list[bytes]:
    blocks = BmapBuilder()
    for position in (0, 40960, 90000):
        blocks.data(position, memoryview(bytes(range(256)) * 64))
    old = (
        b'<?xml version="1.0"?><bmap version="1.3"><ImageSize>9000</ImageSize><BlockSize>4096'
        b'</BlockSize><BlockMap><Range sha1="ab">0</Range><Range>2</Range></BlockMap></bmap>'
    )
    return [blocks.finish(200_000).pack(), old]


def stick_seeds() -> list[bytes]:
    large = create(1 << 13, 4096, ESP.guid, (PartitionEntry(ESP.guid, ESP.guid, 256, 767),))
    esp = PartitionEntry(ESP.guid, ESP.guid, 2048, 6143, "zpp")
    small = create(1 << 14, 512, ESP.guid, (esp,))
    note = resume.Unfinished("disk.img", "ab" * 32, 5 << 20)
    return [pack_primary(large), pack_primary(small), note.block()]


TARGETS = {
    "names": Target(parse_names, names_seeds),
    "conf": Target(parse_conf, conf_seeds),
    "option": Target(parse_option, option_seeds),
    "config": Target(parse_config, config_seeds),
    "manifest": Target(parse_manifest, manifest_seeds),
    "pe": Target(parse_pe, pe_seeds),
    "pe-facts": Target(facts_of_pe, pe_seeds),
    "disk": Target(parse_disk, disk_seeds),
    "verify": Target(verify_image, disk_seeds),
    "bmap": Target(parse_bmap, bmap_seeds),
    "stick": Target(fit_stick, stick_seeds),
}
