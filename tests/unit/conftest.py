"""What several unit tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from foreign import divided_disk
from machines import fake_bochs
from makepe import BOOT_DRIVER, make_pe

from efi_image.config.variables import VARIABLES
from efi_image.emulator.bochs import Bochs

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


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work directory of an emulator."""
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bochs:
    """Bochs, as far as its command line."""
    return fake_bochs(tmp_path, monkeypatch)
