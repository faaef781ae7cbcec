"""Runs the pages of docs/ with commands that boot: all blocks, in order."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import blocks as documented
import pytest
from harness import TIME_LIMIT, Harness, free_port

PAGES = [page for page in documented.pages() if any(b.boots for b in documented.blocks(page))]


@pytest.fixture
def reader(harness: Harness) -> Path:
    """A reader's folder, with the small Linux guest."""
    folder = harness.folder / "reader"
    folder.mkdir()
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(harness.build_directory / "linux-guest" / name, folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, harness: Harness, reader: Path) -> None:
    tool = documented.make_tool(harness.folder / "tool", harness.build_directory)
    documented.run(documented.runnable(documented.blocks(page)), reader, tool)


PROMPT = "(gdb) "
DEBUG = "zpp-image run esp.img --cpus 2 --debug"
SESSIONS = [
    page for page in documented.pages() if any(b.mark == "gdb" for b in documented.blocks(page))
]


@pytest.mark.parametrize("page", SESSIONS)
def test_debug_session(page: str, harness: Harness, reader: Path) -> None:
    """Typing the gdb commands of a page prints what the page shows."""
    found = documented.blocks(page)
    assert f"{DEBUG}\n" in [block.text for block in found]
    session = "".join(block.text for block in found if block.mark == "gdb").split(PROMPT)
    steps = [part.partition("\n")[::2] for part in session[1:]]
    steps.insert(0, ("", session[0]))
    tool = documented.make_tool(harness.folder / "tool", harness.build_directory)
    documented.run([b for b in documented.runnable(found) if not b.boots], reader, tool)
    environment = {
        **os.environ, "PATH": f"{tool}:{os.environ['PATH']}", "HOME": str(reader),
        "GDB_SERVER_ADDRESS": f"localhost:{free_port()}",
    }  # fmt: skip
    done = subprocess.run(
        DEBUG.split(), cwd=reader, env=environment,
        input="".join(f"{command}\n" for command, _ in steps[1:]), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=TIME_LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for (command, shown), printed in zip(steps, done.stdout.split(PROMPT), strict=True):
        matches = documented.same(shown, printed) or (command == "quit" and not shown)
        assert matches, f"{command}\nshown:\n{shown}\nprinted:\n{printed}"
