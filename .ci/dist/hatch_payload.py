"""Adds the files that `make dist` staged to the wheel: built programs, man pages and SBOM."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STAGE = "ZPP_DIST_STAGE"  # the folder that .ci/dist/stage.py wrote


class Payload(BuildHookInterface[Any]):
    """Does nothing if that folder is not set, as when pip builds a source distribution."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = os.environ.get(STAGE)
        if folder and version == "standard":
            stage = Path(folder)
            build_data["force_include"][str(stage / "data")] = "efi_image/data"
            build_data["shared_data"][str(stage / "man")] = "share/man/man1"
            build_data["sbom_files"].append(str(stage / "zpp-image.spdx.json"))
