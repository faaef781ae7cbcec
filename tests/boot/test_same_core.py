"""Every loader contains the same hypervisor.elf."""

from __future__ import annotations

import hashlib

import pytest
from harness import Harness

from efi_image.config.environment import load

EMBEDDED_IN = {"uefi": "ZppDxe.efi", "linux": "zpp.ko", "windows": "zpp_loader.sys"}
ELF_MAGIC = b"\x7fELF"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("driver", load().build_drivers)
def test_loader_embeds_the_core(harness: Harness, driver: str) -> None:
    core = (harness.build_directory / "hypervisor.elf").read_bytes()
    loader = (harness.build_directory / EMBEDDED_IN[driver]).read_bytes()
    found, at = [], loader.find(ELF_MAGIC)
    while at >= 0:
        found.append(digest(loader[at : at + len(core)]))
        at = loader.find(ELF_MAGIC, at + 1)
    assert found.count(digest(core)) == 1
