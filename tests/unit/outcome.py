"""Calls zpp-image in this process, and keeps what it prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from efi_image.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """The exit code, standard output and standard error."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Outcome:
    """Run `zpp-image WORDS`."""
    capsys.readouterr()
    code = main([*map(str, words)])
    return Outcome(code, *capsys.readouterr())
