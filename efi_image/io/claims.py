"""Temporary files and folders of live processes, distinct from those that a killed one left.

The owner locks its file (flock), and the lock ends with the process. Systems and file systems
without such locks keep what is left there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def lock(descriptor: int, *, wait: bool = False, unknown: bool = True) -> bool:
    """Lock an open file or folder for this process; False if another one has it.

    `unknown` is the answer where there are no locks.
    """
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # Windows
        return unknown
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return unknown
    return True


def claim(path: Path, descriptor: int) -> None:
    """Lock a new temporary file or folder; raises FileNotFoundError.

    Another process that looks for leftovers may have found it before it was locked.
    """
    lock(descriptor, wait=True)
    path.lstat()


def make_claimed(prefix: str) -> tuple[Path, int]:
    """A new folder for temporary files, and the descriptor that keeps it locked (or -1)."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):  # removed before it was locked
            return folder, open_claimed(folder)


def open_claimed(folder: Path) -> int:
    """A descriptor that keeps a new temporary folder locked; -1 where folders cannot be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return -1
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    claim(folder, descriptor)
    return descriptor


def remove_abandoned(folder: Path, name: str) -> None:
    """Remove this user's files and folders that no process has locked; `name` is an expression."""
    try:
        names = [entry.name for entry in os.scandir(folder) if re.fullmatch(name, entry.name)]
    except OSError:
        return
    for found in names:
        with suppress(OSError):
            _remove_unclaimed(folder / found)


def _remove_unclaimed(path: Path) -> None:
    if not hasattr(os, "O_NOFOLLOW"):  # Windows, where `lock` says nothing
        return
    # a FIFO would wait for a writer
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not lock(descriptor, unknown=False):
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(status.st_mode):
            path.unlink()
    finally:
        os.close(descriptor)
