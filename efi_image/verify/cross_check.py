"""A second opinion: pyfatfs reads every file, in a process of its own that can be stopped.

pyfatfs can read a bad volume for ever, so it gets a time and a memory limit. As a program,
`python -m efi_image.verify.cross_check FILE OFFSET` prints what it read as JSON.
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
from efi_image.formats import files
from efi_image.formats.fat.names import fold
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import Kind
from efi_image.verify.context import Scope

SECONDS = 60
MEMORY = 1 << 30
Listing = dict[str, str]


def check(scope: Scope, volume: FatVolume, seconds: int = SECONDS) -> None:
    """Compare names and bytes of all files with what pyfatfs reads."""
    medium = scope.medium
    try:
        own = _own(volume)
    except InputError as error:
        scope.add("F502", f"the files cannot be read here: {error.what}")
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
        scope.add("F502", f"it did not come to an end within {seconds} s")
        return
    if result.returncode:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        scope.add("F501", f"it fails: {''.join(last)}")
        return
    _compare(scope, own, json.loads(result.stdout))


def _compare(scope: Scope, own: Listing, other: Listing) -> None:
    for path in sorted(own.keys() | other.keys()):
        if path not in other:
            scope.add("F501", "it does not see the file", path=path)
        elif path not in own:
            scope.add("F501", "it sees a file that is not there", path=path)
        elif own[path] != other[path]:
            scope.add("F501", "it reads other bytes", path=path)


def _own(volume: FatVolume) -> Listing:
    listing = {}
    for path, node in files.walk(volume):
        if node.kind is Kind.FILE:
            digest = hashlib.sha256()
            for chunk in volume.chunks(node):
                digest.update(chunk)
            listing[fold(files.show(path))] = digest.hexdigest()
    return listing


# ---- as a program of its own


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
