"""A partition with a Linux root file system, made from a directory with mke2fs (e2fsprogs).

Its GUID and the UUID of the file system are derived from the names, sizes and times of the files.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import IO
from uuid import UUID

from efi_image.build.identity import derived_guid
from efi_image.build.options import ExtraPartition, ResolvedOptions
from efi_image.errors import DoesNotFitError, InputError, OutputError, reason_of
from efi_image.formats.fat.geometry import MIB
from efi_image.formats.gpt.types import BY_NAME
from efi_image.io.programs import find_program

TYPE = BY_NAME["linux-root-x86-64"]
LABEL = "root"
BLOCK = 4096  # bytes
INODE = 256  # bytes
PER_INODE = 16384  # bytes of the file system, as mke2fs has it for large ones
FREE = 256 * MIB  # at least, if the size is not given
_KERNEL = re.compile(r"vmlinuz-(.+)")
# Debian has e2fsprogs in folders that a user's PATH may lack
_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


@contextmanager
def with_root(options: ResolvedOptions) -> Iterator[ResolvedOptions]:
    """The options with a partition for `rootfs`, its kernel and a command line to boot it.

    Raises InputError, UsageError, DoesNotFitError, MissingError and OutputError.
    """
    if options.rootfs is None:
        yield options
        return
    program = find_program("mke2fs", "e2fsprogs", "to make a root file system", folders=_FOLDERS)
    tree = _Tree.read(options.rootfs)
    guid = derived_guid(tree.digest, LABEL)
    folder = None if options.to_standard_output else options.output.resolve().parent
    try:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it has no name to remove
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", where=str(folder)) from None
    with file:
        _make(program, options, tree, guid, file)
        source = Path(f"/dev/fd/{file.fileno()}")
        partition = ExtraPartition(source, TYPE, LABEL, guid, "--rootfs")
        yield replace(_with_kernel(options, guid), partitions=(*options.partitions, partition))


@dataclass(frozen=True, slots=True)
class _Tree:
    """A directory: the bytes that its files take, their number, and a digest of the listing."""

    path: Path
    size: int
    count: int
    digest: bytes

    @classmethod
    def read(cls, path: Path) -> _Tree:
        digest, size, count = blake2b(digest_size=32), 0, 0
        if not path.is_dir():
            what = "is not a directory" if path.exists() else "does not exist"
            raise InputError(what, where=str(path))
        for status, name in _walk(path):
            digest.update(f"{name}\0{status.st_mode}\0{status.st_size}\0".encode(errors="replace"))
            digest.update(f"{int(status.st_mtime)}\0".encode())
            used = status.st_size if stat.S_ISREG(status.st_mode) else BLOCK
            size += -(-used // BLOCK) * BLOCK
            count += 1
        return cls(path, size, count, digest.digest())

    @property
    def default_size(self) -> int:
        """Bytes of a file system with half of the tree's size free, but at least FREE."""
        needed = self.size + self.count * INODE
        return -(-(needed + needed // 16 + max(needed // 2, FREE)) // MIB) * MIB

    def inodes(self, size: int) -> int:
        """Inodes for all files and half as many new ones, also where the files are small."""
        return max(size // PER_INODE, self.count + self.count // 2 + 1024)


def _walk(top: Path) -> Iterator[tuple[os.stat_result, str]]:
    """The status and relative path of each file below a directory; raises InputError."""
    waiting, device = [top], top.stat().st_dev
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"cannot be read: {reason_of(error)}", where=str(folder),
                hint="run this as root, who can read all files of a root file system",
            ) from None  # fmt: skip
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_dev != device:
                raise InputError(
                    "is a mount point", where=entry.path, hint=f"`umount {entry.path}`"
                )
            yield status, os.path.relpath(entry.path, top)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))


def _make(program: str, options: ResolvedOptions, tree: _Tree, guid: UUID, file: IO[bytes]) -> None:
    """Make the file system in a file."""
    size = options.rootfs_size or tree.default_size
    try:
        file.truncate(size)
    except OSError as error:
        reason = f"{size} bytes cannot be written: {error.strerror}"
        raise OutputError(reason, where=options.where("rootfs-size")) from None
    done = subprocess.run(
        [program, "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-N", str(tree.inodes(size)),
         "-L", LABEL, "-U", str(guid),
         "-E", f"hash_seed={guid},root_owner=0:0", "-d", str(tree.path),
         f"/dev/fd/{file.fileno()}", f"{size // 1024}k"],
        env={**os.environ, "E2FSPROGS_FAKE_TIME": str(options.seconds or 1), "LC_ALL": "C"},
        pass_fds=[file.fileno()], capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if os.strerror(errno.ENOSPC) in done.stderr:  # of this machine, not of the new file system
        raise OutputError(
            f"cannot be written: {os.strerror(errno.ENOSPC)}", where=options.output_name
        )
    if "Could not allocate" in done.stderr or "too big for a" in done.stderr:
        raise DoesNotFitError(
            f"{tree.count} files, {tree.size // MIB} MiB, do not fit into {size // MIB} MiB",
            where=options.where("rootfs-size"),
            hint=f"{tree.default_size // MIB}M is enough",
        )
    raise InputError("mke2fs failed", where=str(tree.path), details=tuple(lines[-5:]))


# ---- the kernel and its command line


def _with_kernel(options: ResolvedOptions, guid: UUID) -> ResolvedOptions:
    kernel, initrd = options.kernel, options.initrd
    if kernel is None:
        assert options.rootfs is not None
        kernel, found = _newest_kernel(options.rootfs / "boot")
        initrd = initrd or found
    words = [options.cmdline] if options.cmdline else ["rw", *_consoles(options)]
    if not any(word.startswith("root=") for word in options.cmdline.split()):
        words.insert(0, f"root=PARTUUID={guid}")
    return replace(options, kernel=kernel, initrd=initrd, cmdline=" ".join(words))


def _consoles(options: ResolvedOptions) -> list[str]:
    """The screen and, where zpp's log goes to COM1, the serial port."""
    com1 = 0x3F8
    serial = ["console=ttyS0,115200"] if options.serial_port == com1 else []
    return ["console=tty0", *serial]


def _newest_kernel(boot: Path) -> tuple[Path, Path | None]:
    """The kernel with the highest version in a folder /boot, and its initrd, if it has one."""
    found = {
        match[1]: path for path in boot.glob("vmlinuz-*") if (match := _KERNEL.fullmatch(path.name))
    }
    if not found:
        raise InputError(
            "has no kernel vmlinuz-VERSION", where=str(boot),
            hint="install one there (Debian: linux-image-amd64), or give one with --kernel",
        )  # fmt: skip
    version = max(found, key=_version)
    initrd = boot / f"initrd.img-{version}"
    return found[version], initrd if initrd.is_file() else None


def _version(text: str) -> list[tuple[int, str]]:
    """A key that sorts 6.12 after 6.1."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
