"""The examples that boot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from efi_image.config.environment import load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
VARIABLES = {"ZPP_IMAGE": str(Path(sys.executable).parent / "zpp-image")}


def run(*words: str | Path) -> str:
    """The output of an example that succeeds."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        words, env=kept | VARIABLES, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(done.stdout, pytrace=False)
    return done.stdout


def test_boot_linux() -> None:
    guest = load().build_directory / "linux-guest"
    output = run(EXAMPLES / "boot_linux.sh", guest / "vmlinuz", guest / "initrd.img")
    assert "Linux version" in output


def test_ask_zpp(tmp_path: Path) -> None:
    output = run("make", "-C", EXAMPLES / "ask_zpp", f"OUT={tmp_path}", "run")
    lines = re.findall(r"^ask_zpp: (.*?)\r?$", output, re.MULTILINE)
    assert lines[:3] == ["zpp uses AMD-V", "index of this CPU: 0", "CPUs: 2"]
    assert int(lines[3].partition(": ")[2]) > 0  # pages
    assert int(lines[4].partition(": ")[2]) > 1  # exits: this program has caused three
    assert lines[5] == "status of an unknown call: 1"
