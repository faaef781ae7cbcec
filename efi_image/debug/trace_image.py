"""A copy of an image whose zpp.conf switches the trace on; the image itself is not changed."""

from __future__ import annotations

import struct
from pathlib import Path

from efi_image.errors import InputError, OutputError
from efi_image.formats.detect import open_medium
from efi_image.formats.disk import Disk, read_disk
from efi_image.formats.fat.reader import ClusterChain, FatVolume
from efi_image.formats.files import find, split_path
from efi_image.formats.zpp_conf import CONF_PATH, DRIVER_PATH
from efi_image.io.sink import Sink

_SIZE_IN_ENTRY = 28  # of a directory entry
_DEFAULTS = {b"hypervisor = on", f"driver = {DRIVER_PATH}".encode("ascii")}


def traced_copy(image: Path, folder: Path, port: int) -> Path:
    """A raw copy in `folder` that traces to an I/O port.

    Every zpp.conf on a FAT volume gets the key. Raises InputError if there is none, and
    OutputError.
    """
    copy = folder / "traced.img"
    with open_medium(image) as medium:
        edits = _edits(read_disk(medium), str(image), port)
        try:
            with copy.open("w+b") as out:
                sink = Sink(out.fileno(), str(copy), digest=False)
                for piece in medium.chunks(0, medium.size):
                    sink.write(piece)
                sink.finish()
                for offset, data in edits:
                    out.seek(offset)
                    out.write(data)
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror}", where=str(copy)) from None
    return copy


def _edits(disk: Disk, name: str, port: int) -> list[tuple[int, bytes]]:
    """The changes to an image: (byte, data)."""
    edits: list[tuple[int, bytes]] = []
    for partition in disk.partitions:
        if disk.has_volume(partition):
            volume = disk.volume(partition)
            if isinstance(volume, FatVolume):
                start = volume.medium.start - disk.medium.start
                edits += [(start + place, data) for place, data in _of_volume(volume, port)]
    if not edits:
        raise InputError(
            f"has no {CONF_PATH}, so zpp cannot be told to trace",
            where=name, hint="`zpp-image make` makes an image with zpp",
        )  # fmt: skip
    return edits


def _of_volume(volume: FatVolume, port: int) -> list[tuple[int, bytes]]:
    *folders, name = split_path(CONF_PATH)
    try:
        _, folder = find(volume, tuple(folders))
        _, node = find(volume, (*folders, name))
    except InputError:
        return []
    assert isinstance(folder.place, ClusterChain)
    assert isinstance(node.place, ClusterChain)
    cluster = volume.boot.cluster_size
    count = -(-node.size // cluster)
    old = b"".join(volume.chunks(node))
    new = with_trace(old, port, count * cluster)
    if new is None:
        raise InputError(
            "has no room for another line", where=CONF_PATH, hint="remove a comment from it"
        )
    entry = next(
        entry
        for entry in volume.entries(folder.place.first_cluster)
        if entry.first_cluster == node.place.first_cluster and entry.size == node.size
    )
    edits = [(entry.position + _SIZE_IN_ENTRY, struct.pack("<I", len(new)))]
    done = 0
    for first, length in volume.runs(node.place.first_cluster, count):
        edits.append((volume.offset(first), new[done : done + length * cluster]))
        done += length * cluster
    return edits


def with_trace(conf: bytes, port: int, room: int) -> bytes | None:
    """The text of a zpp.conf with the key `trace`, in at most `room` bytes; None if it is longer.

    If need be, lines that have no effect are left out.
    """
    top, bracket, sections = _split(conf)
    lines = [line for line in top if line.partition(b"=")[0].strip() != b"trace"]
    lines.insert(0, f"trace = {port:#x}".encode("ascii"))
    for kept in (lines, [line for line in lines if _has_effect(line)]):
        text = b"\n".join(kept) + bracket + sections
        if len(text) <= room:
            return text
    return None


def _split(conf: bytes) -> tuple[list[bytes], bytes, bytes]:
    """The lines before the first section, and the rest."""
    lines = conf.split(b"\n")
    for number, line in enumerate(lines):
        if line.lstrip(b" \t").startswith(b"["):
            return lines[:number], b"\n", b"\n".join(lines[number:])
    return lines, b"", b""


def _has_effect(line: bytes) -> bool:
    text = line.strip(b" \t\r")
    return bool(text) and not text.startswith(b"#") and text not in _DEFAULTS
