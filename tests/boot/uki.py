"""Builds a unified kernel image: systemd's stub with kernel, initrd and command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from efi_image.inspect.pe import pe_facts

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
ALIGNMENT = 0x1000


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def make_uki(output: Path, kernel: Path, initrd: Path, cmdline: str) -> Path:
    """Builds a UKI at `output`, with temporary files next to it."""
    text, release = output.with_name("cmdline"), output.with_name("os-release")
    text.write_text(cmdline, encoding="ascii")
    release.write_text("NAME=zpp-guest\nID=zpp-guest\n", encoding="ascii")
    parts = {".osrel": release, ".cmdline": text, ".initrd": initrd, ".linux": kernel}
    stub = pe_facts(iter([STUB.read_bytes()]), STUB.name)
    options, place = [], stub.image_base + _aligned(stub.image_size)
    for section, file in parts.items():
        options += ["--add-section", f"{section}={file}"]
        options += ["--change-section-vma", f"{section}={place:#x}"]
        options += ["--set-section-flags", f"{section}=alloc,load,readonly,data"]
        place += _aligned(file.stat().st_size)
    subprocess.run(["objcopy", *options, str(STUB), str(output)], check=True)
    return output
