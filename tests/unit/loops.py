"""The kernel's loop devices, where this machine has them and lets us."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Attach = Callable[..., str]


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Makes a loop device of a file; they are gone after the test."""
    attached: list[str] = []

    def losetup(file: Path, *options: str) -> str:
        if os.geteuid() != 0:
            pytest.skip("loop devices need root")
        if not Path("/dev/loop-control").exists() or not shutil.which("losetup"):
            pytest.skip("this machine has no loop devices")
        command = ["losetup", "--find", "--show", *options, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no loop device is to be had: {done.stderr.strip()}")
        attached.append(done.stdout.strip())
        return attached[-1]

    yield losetup
    for path in reversed(attached):  # one that is mounted goes when it is unmounted
        subprocess.run(["losetup", "-d", path], check=True)
