"""The kernel's loop devices, if this machine has them and allows them."""

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
    """Makes loop devices of files, and removes them after the test."""
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
    for path in reversed(attached):  # a mounted one is removed when it is unmounted
        subprocess.run(["losetup", "-d", path], check=True)
