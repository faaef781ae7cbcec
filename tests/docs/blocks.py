"""The code blocks of README.md and docs/, and a folder in which their commands run.

A block runs unless a comment before it says why not: `<!-- not run: REASON -->`. After
`<!-- boot -->` tests/boot/test_docs_boots.py runs it, with all other blocks of its page; after
`<!-- gdb -->` it is a part of the one debug session of its page.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("", "sh", "console")
DATA = ("python", "toml", "json", "ini", "yaml")
PROGRAMS = ("ZppBoot.efi", "ZppDxe.efi", "hypervisor.debug.elf")
_FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^ *\2$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- ([^\n]*?) -->\s*\Z")
# addresses, lines of the core's sources, seconds, pages
_NUMBERS = re.compile(r"0x[0-9a-f]+|(?<=cpp:)\d+|(?<=hpp:)\d+|(?<=\.S:)\d+|(?m:^\d+(?=\t))"
                      r"|\d+\.\d+(?= s\b)|\d+(?= pages)|(?<=, line )\d+")  # fmt: skip
_MARK = "\x01"


@dataclass(frozen=True)
class Block:
    """A block of a page; `mark` is the comment before it."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def reason(self) -> str:
        """The reason why it does not run."""
        return self.mark.removeprefix("not run:").strip() if "not run:" in self.mark else ""

    @property
    def boots(self) -> bool:
        return self.mark == "boot"

    def steps(self) -> Iterator[tuple[str, str]]:
        """Each command, and the output that the page shows ("" for none)."""
        if self.language != "console":
            yield self.text, ""
            return
        for step in re.split(r"(?m)^\$ ", self.text)[1:]:
            match = re.match(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", step, re.DOTALL)
            assert match
            yield match[1], match[2]


def pages() -> list[str]:
    return ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        comment = _COMMENT.search(text, 0, match.start())
        indent = len(match[1])
        body = "".join(line[indent:] or "\n" for line in match[4].splitlines(keepends=True))
        line = text[: match.start()].count("\n") + 1
        found.append(Block(page, line, match[3].strip(), body, comment[1] if comment else ""))
    return found


def indented_blocks(page: str) -> list[int]:
    """The lines where a paragraph is indented like code: such a block has no language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    plain = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    return [
        plain[: match.start()].count("\n") + 3
        for match in re.finditer(r"\n(?=\n    \S)", plain)
        if not re.search(r"(?m)^ *(?:[-*]|\d+\.) ", plain[: match.start()].rsplit("\n\n", 1)[-1])
    ]


def same(shown: str, printed: str) -> bool:
    """Whether an output matches a page; `…` and numbers that change match anything."""
    shown, printed = _NUMBERS.sub("…", shown), _NUMBERS.sub("0", printed)
    parts = [re.escape(" ".join(part.split())) for part in shown.split("…")]
    return re.fullmatch(r" ?.*?".join(parts), " ".join(printed.split())) is not None


def make_tool(folder: Path, programs: Path) -> Path:
    """`zpp-image` as from a wheel, with the built programs of a folder; returns its folder."""
    package = folder / "lib/efi_image"
    shutil.copytree(ROOT / "efi_image", package, ignore=shutil.ignore_patterns("__pycache__"))
    for place, name in (("bochs", "ovmf/bochs"), ("hypervisor", "hypervisor")):
        shutil.copytree(ROOT / name, package / "data" / place)
    (package / "data/zpp").mkdir()
    for name in PROGRAMS:
        if (programs / name).exists():
            shutil.copy(programs / name, package / "data/zpp")
    program = folder / "bin/zpp-image"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{folder}/lib" exec "{sys.executable}" -m efi_image "$@"\n'
    )
    program.chmod(0o755)
    return program.parent


def script(wanted: Sequence[Block]) -> str:
    """All commands, as one script; a mark is printed before each."""
    lines = ["set -euo pipefail", "exec 2>&1"]
    for number, block in enumerate(wanted):
        for step, (command, _) in enumerate(block.steps()):
            lines += [f"printf '{_MARK}{number} {step}\\n'", command.rstrip("\n")]
    return "\n".join((*lines, ""))


def run(wanted: Sequence[Block], folder: Path, tool: Path) -> None:
    """Run the blocks of a page in one shell; fails at the first that goes wrong."""
    other = ("MAKE", "MFLAGS", "PYTEST", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(other)}
    path = f"{tool}:{kept.get('PATH', '')}:/usr/sbin:/sbin"
    own = {"PATH": path, "HOME": str(folder), "COLUMNS": "100"}
    done = subprocess.run(
        ("bash", "-c", script(wanted)), cwd=folder, env=kept | own,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    outputs = done.stdout.split(_MARK)[1:]
    for number, output in enumerate(outputs):
        place, _, printed = output.partition("\n")
        block, step = (int(word) for word in place.split())
        command, shown = [*wanted[block].steps()][step]
        last = number == len(outputs) - 1
        assert not (last and done.returncode), f"{wanted[block]}: {command}{printed}"
        if shown and not same(shown, printed):
            raise AssertionError(f"{wanted[block]}: {command}shown:\n{shown}\nprinted:\n{printed}")
    assert done.returncode == 0, done.stdout


def run_python(block: Block, folder: Path, tool: Path) -> None:
    """Run a Python block with the package of `tool`."""
    done = subprocess.run(
        (sys.executable, "-c", block.text), cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tool.parent / "lib")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}: {done.stderr}"


def runnable(found: Iterable[Block]) -> list[Block]:
    return [block for block in found if block.language in COMMANDS and not block.reason]
