"""Virtual machines' formats, by qemu-img."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from efi_image.errors import InputError
from efi_image.io.medium import Medium
from efi_image.io.programs import find_program

MAX_SIZE = 64 << 30  # bytes of a disk
QEMU_TIMEOUT = 1800  # seconds
QCOW2_EXTERNAL_DATA = 1 << 2


@contextmanager
def converted(medium: Medium, head: bytes, name: str) -> Iterator[Medium]:
    """The disk in a temporary file; raises InputError or MissingError."""
    _refuse_other_files(medium, head, name)
    with tempfile.NamedTemporaryFile(prefix="zpp-image-") as file:
        _convert(medium, name, file.name)
        yield Medium(file.fileno(), medium.name, 0, os.fstat(file.fileno()).st_size)


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
    program = find_program("qemu-img", "qemu-utils", medium.name)
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
    if not isinstance(size, int) or size > MAX_SIZE:
        raise InputError(f"is a disk of more than {MAX_SIZE} bytes", where=medium.name)
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
