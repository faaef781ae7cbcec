"""The examples that need no boot; tests/boot/test_example_boots.py has the others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pefile

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_ask_zpp_is_an_efi_program(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(
        ["make", "-C", EXAMPLES / "ask_zpp", f"OUT={tmp_path}"], env=environment, check=True
    )
    with pefile.PE(tmp_path / "ask_zpp.efi") as program:
        subsystem = program.OPTIONAL_HEADER.Subsystem
        assert subsystem == pefile.SUBSYSTEM_TYPE["IMAGE_SUBSYSTEM_EFI_APPLICATION"]
        assert not hasattr(program, "DIRECTORY_ENTRY_IMPORT")


def test_the_table_lists_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    names = [path.name for path in EXAMPLES.iterdir() if path.name != "README.md"]
    assert [name for name in names if f"[{name}" not in text] == []
