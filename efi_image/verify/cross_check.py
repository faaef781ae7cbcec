"""Compares all files with what pyfatfs, an independent reader, reads.

pyfatfs can read a damaged volume for ever, so it runs in a process of its own with a time and
a memory limit: `python -m efi_image.verify.cross_check FILE OFFSET` prints the SHA-256 of each
file as JSON.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from efi_image.errors import InputError
from efi_image.formats.fat.names import fold
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import Kind, show_path, walk
from efi_image.verify.context import CheckContext

SECONDS = 60
MEMORY = 1 << 30  # bytes
Listing = dict[str, str]  # the SHA-256 of each file by its path, folded to one case


def check(context: CheckContext, volume: FatVolume, seconds: int = SECONDS) -> None:
    """Compare the names and bytes of all files with those that pyfatfs reads."""
    medium = context.medium
    try:
        own = _read_own(volume)
    except InputError as error:
        context.add("F502", f"zpp-image cannot read the files: {error.what}")
        return
    command = [sys.executable, "-m", "efi_image.verify.cross_check",
               f"/dev/fd/{medium.descriptor}", str(medium.start)]  # fmt: skip
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            timeout=seconds,
            pass_fds=(medium.descriptor,),
            check=False,
        )
    except subprocess.TimeoutExpired:
        context.add("F502", f"pyfatfs did not finish within {seconds} s")
        return
    if result.returncode:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        context.add("F501", f"it fails with {''.join(last)}")
        return
    _compare(context, own, json.loads(result.stdout))


def _compare(context: CheckContext, own: Listing, other: Listing) -> None:
    for path in sorted(own.keys() | other.keys()):
        if path not in other:
            context.add("F501", "it does not find the file", path=path)
        elif path not in own:
            context.add("F501", "it finds a file that zpp-image does not", path=path)
        elif own[path] != other[path]:
            context.add("F501", "it reads different bytes", path=path)


def _read_own(volume: FatVolume) -> Listing:
    listing = {}
    for path, node in walk(volume):
        if node.kind is Kind.FILE:
            digest = hashlib.sha256()
            for chunk in volume.chunks(node):
                digest.update(chunk)
            listing[fold(show_path(path))] = digest.hexdigest()
    return listing


# ---- the process of its own


def _read(fat: Any, directory: Any, prefix: str) -> Iterator[tuple[str, str]]:
    directories, plain, _ = directory.get_entries()
    for entry in plain:
        digest, left = hashlib.sha256(), entry.filesize
        if left:
            for cluster in fat.get_cluster_chain(entry.get_cluster()):
                data = fat.read_cluster_contents(cluster)[:left]
                digest.update(data)
                left -= len(data)
                if not left:
                    break
        yield fold(f"{prefix}{entry}"), digest.hexdigest()
    for entry in directories:
        yield from _read(fat, entry, f"{prefix}{entry}\\")


def _main(path: str, offset: int) -> None:
    from pyfatfs.PyFat import PyFat  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    fat = PyFat(offset=offset)
    fat.open(path, read_only=True)
    sys.stdout.write(json.dumps(dict(_read(fat, fat.root_dir, "\\"))))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
