"""The process of zpp-image: `zpp-image`, and `python3 -m efi_image`."""

from __future__ import annotations

import sys

from efi_image.cli.main import main


def run() -> None:
    """Run zpp-image and end the process with its exit code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
