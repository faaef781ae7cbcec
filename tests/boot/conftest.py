"""Fixtures of the boot tests: a lab for each test, its log under out/test-logs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab import Lab

from efi_image.config.environment import load


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    config = load()
    assert config.root is not None, "the boot tests run in a checkout"
    name = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    return Lab(config.build_directory, tmp_path, config.root / "out/test-logs" / f"{name}.log")
