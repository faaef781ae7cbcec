"""Makes a block device as slow as a real stick, by the kernel's throttling (cgroup v1, root)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GROUP = Path("/sys/fs/cgroup/blkio")  # the root group: it counts what the kernel writes back, too


def can_throttle() -> bool:
    """Whether this machine's kernel does that."""
    return os.access(GROUP / "blkio.throttle.write_bps_device", os.W_OK)


@contextmanager
def throttled(device: str, rate: int) -> Iterator[None]:
    """Let the device take and give so many bytes in a second; 0: as many as it can."""
    status = Path(device).stat()
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    files = [GROUP / f"blkio.throttle.{way}_bps_device" for way in ("read", "write")]
    try:
        for file in files if rate else ():
            file.write_text(f"{number} {rate}\n")
        yield
    finally:
        for file in files if rate else ():
            file.write_text(f"{number} 0\n")
