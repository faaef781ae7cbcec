"""Images that are packed or in a virtual machine's format, read as the disk they stand for.

What is not raw is unpacked into a temporary file without a name, with holes.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from efi_image.errors import InputError, MissingError
from efi_image.reader.medium import CHUNK, Medium, open_raw
from efi_image.sink import Sink

MAX_UNPACKED = 64 << 30  # bytes of an image once unpacked
MAX_XZ_MEMORY = 100 << 20
QEMU_TIMEOUT = 1800  # seconds
VHD_FOOTER = 512
VHD_MAGIC = b"conectix"
VHD_FIXED = 2
QCOW2_MAGIC = b"QFI\xfb"
QCOW2_EXTERNAL_DATA = 1 << 2

_STREAMS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def stream_of(head: bytes) -> str:
    """The packing that a file's first bytes tell of: gzip, xz, zstd or ''."""
    return next((name for magic, name in _STREAMS.items() if head.startswith(magic)), "")


def disk_format_of(head: bytes) -> str:
    """The format, as qemu-img calls it, that a file's first 512 bytes tell of, or ''."""
    magics = ((QCOW2_MAGIC, "qcow2"), (b"vhdxfile", "vhdx"), (b"KDMV", "vmdk"), (VHD_MAGIC, "vpc"))
    for magic, name in magics:
        if head.startswith(magic):
            return name
    return "vdi" if head[0x40:0x44] == b"\x7f\x10\xda\xbe" else ""


@contextmanager
def open_medium(path: str | Path) -> Iterator[Medium]:
    """The disk in a file or device of any known format; raises InputError or MissingError."""
    with open_raw(path) as medium:
        head = medium.peek(0, 512)
        stream = stream_of(head)
        if stream:
            with tempfile.TemporaryFile(prefix="zpp-image-") as file:
                unpacked = _unpacked(medium, stream, file.fileno())
                with _as_disk(unpacked, unpacked.peek(0, 512)) as disk:
                    yield disk
        else:
            with _as_disk(medium, head) as disk:
                yield disk


@contextmanager
def _as_disk(medium: Medium, head: bytes) -> Iterator[Medium]:
    if not medium.size:
        raise InputError("is empty", where=medium.name)
    name = disk_format_of(head)
    if not name:
        yield _without_footer(medium)
        return
    _refuse_other_files(medium, head, name)
    with tempfile.NamedTemporaryFile(prefix="zpp-image-") as file:
        _convert(medium, name, file.name)
        size = os.fstat(file.fileno()).st_size
        yield Medium(file.fileno(), medium.name, 0, size)


def _without_footer(medium: Medium) -> Medium:
    """A fixed VHD is a raw image with a footer behind it."""
    footer = medium.peek(medium.size - VHD_FOOTER, VHD_FOOTER)
    if footer.startswith(VHD_MAGIC) and footer[60:64] == VHD_FIXED.to_bytes(4, "big"):
        return medium.view(0, medium.size - VHD_FOOTER)
    return medium


# ---- packed streams


_Read = Callable[[int], None]


def unpack(medium: Medium, stream: str, read: _Read = lambda _: None) -> Iterator[bytes]:
    """The unpacked bytes, in pieces; raises InputError or MissingError.

    `read` is told how many more packed bytes were taken.
    """
    unpackers: dict[str, Callable[[Medium, _Read], Iterable[bytes]]] = {
        "gzip": _gunzip, "xz": _unxz, "zstd": _unzstd,
    }  # fmt: skip
    done = 0
    try:
        for piece in unpackers[stream](medium, read):
            done += len(piece)
            if done > MAX_UNPACKED:
                raise InputError(f"unpacks to more than {MAX_UNPACKED} bytes", where=medium.name)
            yield piece
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise InputError(f"cannot be unpacked: {error}", where=medium.name) from None


def _packed(medium: Medium, read: _Read) -> Iterator[bytes]:
    for chunk in medium.chunks(0, medium.size):
        read(len(chunk))
        yield chunk


def _unpacked(medium: Medium, stream: str, descriptor: int) -> Medium:
    sink = Sink(descriptor, "temporary file", digest=False)
    for piece in unpack(medium, stream):
        sink.write(piece)
    sink.finish()
    return replace(medium, descriptor=descriptor, start=0, size=sink.position)


def _gunzip(medium: Medium, read: _Read) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    for chunk in _packed(medium, read):
        data = chunk
        while data:
            if inflate.eof:  # another member, or padding
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflate = zlib.decompressobj(wbits=31)
            yield inflate.decompress(data, CHUNK)
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if not inflate.eof:
        raise EOFError("it is cut short")


def _unxz(medium: Medium, read: _Read) -> Iterator[bytes]:
    inflate = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
    for chunk in _packed(medium, read):
        data = chunk
        while data or not (inflate.eof or inflate.needs_input):
            if inflate.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                inflate = lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)
            yield inflate.decompress(data, CHUNK)
            data = inflate.unused_data if inflate.eof else b""
    if not inflate.eof:
        raise EOFError("it is cut short")


def _program(name: str, package: str, where: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise MissingError(f"{name} is needed to read it", where=where, hint=f"install {package}")
    return program


def _unzstd(medium: Medium, read: _Read) -> Iterator[bytes]:
    program = _program("zstd", "zstd", medium.name)
    with tempfile.TemporaryFile() as errors:
        os.lseek(medium.descriptor, medium.start, os.SEEK_SET)
        process = subprocess.Popen(
            [program, "-dcq"], stdin=medium.descriptor, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            assert process.stdout is not None
            before = medium.start
            while piece := process.stdout.read(CHUNK):
                # the descriptors share one position
                taken = os.lseek(medium.descriptor, 0, os.SEEK_CUR)
                read(taken - before)
                before = taken
                yield piece
            failed = process.wait()
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if failed:
            errors.seek(0)
            reason = errors.read(500).decode("utf-8", "replace").strip()
            raise InputError(f"cannot be unpacked: {reason}", where=medium.name)


# ---- virtual machines' formats


def _refuse_other_files(medium: Medium, head: bytes, name: str) -> None:
    """An image that names other files of this machine is not followed there."""
    if name != "qcow2":
        return
    backing = int.from_bytes(head[8:16], "big")
    features = int.from_bytes(head[72:80], "big") if head[4:8] >= b"\0\0\0\3" else 0
    if backing or features & QCOW2_EXTERNAL_DATA:
        raise _other_file(medium)


def _other_file(medium: Medium) -> InputError:
    return InputError(
        "takes its data from another file",
        where=medium.name,
        hint="make it one image with qemu-img convert",
    )


def _convert(medium: Medium, name: str, target: str) -> None:
    program = _program("qemu-img", "qemu-utils", medium.name)
    file = {"driver": "file", "filename": f"/proc/self/fd/{medium.descriptor}", "locking": "off"}
    options: dict[str, object] = {"driver": name, "file": file}
    if name in ("qcow2", "vmdk"):
        options["backing"] = None
    source = "json:" + json.dumps(options)
    about = _qemu_img(medium, program, "info", "--output=json", source)
    try:
        facts = json.loads(about)
        size, other = facts["virtual-size"], "backing-filename" in facts
    except (ValueError, KeyError, TypeError):
        raise InputError("qemu-img tells no size", where=medium.name) from None
    if other:
        raise _other_file(medium)
    if not isinstance(size, int) or size > MAX_UNPACKED:
        raise InputError(f"is a disk of more than {MAX_UNPACKED} bytes", where=medium.name)
    _qemu_img(medium, program, "convert", "-O", "raw", source, target)


def _qemu_img(medium: Medium, program: str, *arguments: str) -> str:
    try:
        result = subprocess.run(
            [program, *arguments],
            capture_output=True,
            check=False,
            timeout=QEMU_TIMEOUT,
            pass_fds=[medium.descriptor],
        )
    except subprocess.TimeoutExpired:
        raise InputError("qemu-img does not come to an end", where=medium.name) from None
    if result.returncode:
        reason = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(
            f"qemu-img cannot read it: {reason[-1] if reason else result.returncode}",
            where=medium.name,
        )
    return result.stdout.decode("utf-8", "replace")
