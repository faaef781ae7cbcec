"""Programs that handle formats which this tool does not."""

from __future__ import annotations

import shutil

from efi_image.errors import MissingError


def find_program(name: str, package: str, purpose: str, where: str = "") -> str:
    """The path of a program; raises MissingError if it is not installed."""
    program = shutil.which(name)
    if program is None:
        raise MissingError(
            f"{name} is needed {purpose}", where=where, hint=f"`apt-get install {package}`"
        )
    return program
