"""The fixture of the boot tests: a harness, with a log in out/test-logs/ named after the test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import Harness

from efi_image.config.environment import load


@pytest.fixture
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    config = load()
    assert config.root is not None, "the boot tests run in a checkout"
    name = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    return Harness(config.build_directory, tmp_path, config.root / "out/test-logs" / f"{name}.log")
