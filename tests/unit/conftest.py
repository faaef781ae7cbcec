"""What several unit tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from foreign import divided_disk
from makepe import BOOT_DRIVER, make_pe

from efi_image.config.variables import VARIABLES

# a shell's background job ignores it, and so would the programs that the tests interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's environment does not change what the tests see."""
    for name in [*VARIABLES, "SOURCE_DATE_EPOCH"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def build_dir(tmp_path: Path) -> Path:
    """A build directory with programs that UEFI would load."""
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "ZppBoot.efi").write_bytes(make_pe(text=os.urandom(4000)))
    (folder / "ZppDxe.efi").write_bytes(make_pe(subsystem=BOOT_DRIVER, text=os.urandom(4096)))
    return folder


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """A disk with a GPT and a FAT volume."""
    return divided_disk(tmp_path)
