"""The process of zpp-image: `zpp-image`, and `python3 -m efi_image`."""

from __future__ import annotations

import gc
import os
import sys

COLLECT_EVERY = 1_000_000  # new objects; what is imported or made for many files lives to the end


def run() -> None:
    """Run zpp-image and end the process.

    It ends at once: to take Python's modules down in order takes as long as a small image, and
    whatever has to be undone is undone when `main` returns.
    """
    gc.set_threshold(COLLECT_EVERY)
    from efi_image.cli import main  # noqa: PLC0415 - imported with the threshold above

    code = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # None: the caller has closed it
                stream.flush()
    except OSError:  # main has said it, or there is nobody to say it to
        pass
    os._exit(code)


if __name__ == "__main__":
    run()
