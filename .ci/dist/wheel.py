"""Make the wheel and the sdist: wheel.py BUILD_DIRECTORY EDK2 MAN_PAGES OUTPUT.

BUILD_DIRECTORY has the results of `make`, EDK2 is its source tree. The folder OUTPUT/stage then has the wheel's files other than Python; hatch_payload.py adds them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hatch_payload import STAGE
from sbom import write_sbom

from efi_image.debug.scripts import SYMBOLS
from efi_image.emulator.bochs_parts import make_parts

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("ZppBoot.efi", "ZppDxe.efi", SYMBOLS)


def main() -> int:
    build, edk2, pages, output = (Path(word).resolve() for word in sys.argv[1:])
    stage = output / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    write_stage(stage, build, edk2, pages)
    subprocess.run(
        (sys.executable, "-m", "hatchling", "build", "--directory", output),
        cwd=ROOT, env={**os.environ, STAGE: str(stage)}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return 0


def write_stage(stage: Path, build: Path, edk2: Path, pages: Path) -> None:
    programs, bochs = stage / "data/zpp", stage / "data/bochs"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copyfile(build / name, programs / name)
    shutil.copyfile(edk2 / "License.txt", programs / "LICENSE.edk2")
    bochs.mkdir()
    make_parts(bochs)
    shutil.copytree(pages, stage / "man")
    write_sbom(stage / "zpp-image.spdx.json", stage / "data")


if __name__ == "__main__":
    sys.exit(main())
