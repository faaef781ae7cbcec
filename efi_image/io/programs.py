"""Programs of others that read what we do not."""

from __future__ import annotations

import shutil

from efi_image.errors import MissingError


def find_program(name: str, package: str, where: str) -> str:
    """Where a program that unpacks is; raises MissingError."""
    program = shutil.which(name)
    if program is None:
        raise MissingError(f"{name} is needed to read it", where=where, hint=f"install {package}")
    return program
