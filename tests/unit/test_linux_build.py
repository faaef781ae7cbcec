"""linux/Makefile: which kernel's headers it takes, and what it says when there are none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

LINUX = Path(__file__).resolve().parents[2] / "linux"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "hypervisor.elf").write_bytes(b"")
    return tmp_path


def make(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-s", "-C", str(LINUX), f"OUT={out}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={
        "PATH": "/usr/bin:/bin"})  # fmt: skip


def test_folder_that_is_no_build_tree(build: Path) -> None:
    done = make(build, "LINUX_KERNEL=/no/such/tree")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "linux: /no/such/tree is not the build tree of a kernel: "
        "run `make setup`, or set LINUX_KERNEL"
    )
    assert not (build / "zpp.ko").exists()


def test_sources_are_staged_in_one_folder(build: Path, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    done = make(build, "stage", f"STAGE={stage}", "LINUX_KERNEL=/no/such/tree")
    assert done.returncode == 0, done.stderr
    names = {str(path.relative_to(stage)) for path in stage.rglob("*") if path.is_file()}
    assert {"Kbuild", "module.c", "hypervisor.elf", "loader/loader.c", "zpp/boot_info.h"} <= names
