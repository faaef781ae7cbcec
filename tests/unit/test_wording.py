"""The check of wording reads the word list of CONTRIBUTING.md as it is meant."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = runpy.run_path(str(ROOT / ".ci/check/wording.py"))
ENTRIES = CHECK["read_list"]((ROOT / "CONTRIBUTING.md").read_text())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it is no disk", "is no"),
        ("there is no disk", ""),
        ("There is no disk, and it is no longer there", ""),
        ("Mended the table", "Mended"),
        ("we recommend a commendable amendment", ""),
        ("it may\nnot be read", "may\nnot"),
        ("the second opinion", "second opinion"),
    ],
)
def test_words(text: str, found: str) -> None:
    assert "".join(match[0] for entry in ENTRIES for match in entry.find(text)) == found


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.md", "one\nit is no disk\n", [2]),
        ("a.py", "# it is no disk\nx = 'mend'\nprint(f'{x} is no disk')\n", [3]),
        ("a.c", '// it is no disk\nputs("it is no disk");\n', [2]),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, lines: list[int]) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = list(CHECK["check"]([path], ENTRIES))
    assert [line.split(":")[1] for line in found] == [str(number) for number in lines]
    assert all("write 'is not a …', not 'is no'" in line for line in found)
