"""Collect what a wheel has besides Python: stage.py BUILD_DIRECTORY EDK2 MAN STAGE.

BUILD_DIRECTORY has the results of `make`, EDK2 is its source tree, MAN has the man pages. Writes to
the folder STAGE, which it makes anew: data/ for efi_image/data, man/, and the SBOM.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sbom import write_sbom

from efi_image.debug.scripts import SYMBOLS
from efi_image.emulator.bochs_parts import make_parts

PROGRAMS = ("ZppBoot.efi", "ZppDxe.efi", SYMBOLS)
EDK2_LICENCE = "LICENSE.edk2"


def main() -> int:
    build, edk2, man, stage = map(Path, sys.argv[1:])
    shutil.rmtree(stage, ignore_errors=True)
    programs, bochs = stage / "data/zpp", stage / "data/bochs"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copyfile(build / name, programs / name)
    shutil.copyfile(edk2 / "License.txt", programs / EDK2_LICENCE)
    bochs.mkdir()
    make_parts(bochs)
    shutil.copytree(man, stage / "man")
    write_sbom(stage / "zpp-image.spdx.json", stage / "data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
