"""The holes of sparse files: lseek(2), SEEK_DATA and SEEK_HOLE."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def data_extents(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the data of a file between two bytes begins and ends, holes left out.

    Everything is data where the system cannot tell. The file's position changes.
    """
    while start < end:
        try:
            first = os.lseek(descriptor, start, os.SEEK_DATA)
            last = os.lseek(descriptor, first, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            first, last = start, end
        if first >= end:
            return
        yield first, min(last, end)
        start = last
