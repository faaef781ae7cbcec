"""Programs that handle formats which this tool does not."""

from __future__ import annotations

import os
import shutil

from efi_image.errors import MissingError


def find_program(
    name: str, package: str, purpose: str, where: str = "", folders: tuple[str, ...] = ()
) -> str:
    """The path of a program in PATH or these folders; raises MissingError."""
    program = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if program is None:
        raise MissingError(
            f"{name} is needed {purpose}", where=where, hint=f"`apt-get install {package}`"
        )
    return program
