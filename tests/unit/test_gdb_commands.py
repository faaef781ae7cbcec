"""The commands of gdb where they cannot work: one line that says why, in gdb itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "hypervisor/debug"
COMMANDS = ("zstartl", "zstartw", "zwait", "zvcpu", "zexits", "zlog", "zcontrol", "znpt 0",
            "zept 0", "zbt", "zcpuid")  # fmt: skip
LOOKING = tuple(name for name in COMMANDS if not name.startswith(("zstart", "zwait")))


def answers(*before: str, commands: tuple[str, ...]) -> list[str]:
    """What gdb says to each command; the symbols are missing."""
    install = (
        f"python import sys; sys.path.insert(0, {str(FOLDER)!r})",
        "python from pathlib import Path; from zpp_debug.commands import install",
        "python install(Path('/gone.elf'), Path('/gone.elf'), Path('/'))",
    )
    lines = [word for text in (*install, *before, *commands) for word in ("-ex", text)]
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", *lines], capture_output=True, text=True, check=False
    )
    return [line for line in done.stderr.splitlines() if line.startswith("z")]


def test_without_a_machine() -> None:
    expected = [f"{name.split()[0]}: no machine: `target remote HOST:PORT` comes first"
                for name in COMMANDS]  # fmt: skip
    assert answers(commands=COMMANDS) == expected


@pytest.fixture
def started(tmp_path: Path) -> tuple[str, str]:
    """A process stands for the machine: its CPU is not in the core."""
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-o", program, source], check=True)
    return f"file {program}", "starti"


def test_before_the_core_is_known(started: tuple[str, str]) -> None:
    expected = [f"{name.split()[0]}: the core is not known yet: zstartl or zwait comes first"
                for name in LOOKING]  # fmt: skip
    assert answers(*started, commands=LOOKING) == expected


def test_without_symbols(started: tuple[str, str]) -> None:
    (answer,) = answers(*started, commands=("zwait",))
    assert answer == "zwait: /gone.elf cannot be read (No such file or directory): `make` builds it"
