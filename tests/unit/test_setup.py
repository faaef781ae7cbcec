"""Where make and the set-up scripts stop, they say why and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / ".ci/setup"
PROGRAMS = ("awk", "bash", "dirname", "dpkg-query", "grep", "mktemp", "rm", "sed", "tail")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The programs of a machine without apt and sudo, whose user is not root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    put(folder / "id", "echo 1000")
    return folder


def put(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def packages(programs: Path, rows: str) -> subprocess.CompletedProcess[str]:
    listed = programs.parent / "packages"
    listed.write_text(rows)
    return subprocess.run(
        [SCRIPTS / "packages.sh", listed], env={**os.environ, "PATH": str(programs)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_root_or_sudo(programs: Path) -> None:
    put(programs / "apt-get", "echo called >&2; exit 1")
    done = packages(programs, "zpp-no-such-package -\nzpp-nor-this -\n")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "setup: 2 Debian packages are missing, and installing them needs root or sudo",
        "hint: run as root: apt-get install --no-install-recommends zpp-no-such-package "
        "zpp-nor-this",
    ]


def test_apt_that_fails(programs: Path) -> None:
    put(programs / "apt-get", "echo 'E: no network' >&2; exit 100")
    put(programs / "sudo", '"$@"')
    done = packages(programs, "zpp-no-such-package -\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "E: no network",
        "setup: apt could not install the packages",
    ]


def test_another_system(programs: Path) -> None:
    done = packages(programs, "bash bash\nzpp-nothing zpp-nothing\n")
    assert done.returncode == 1
    assert "these commands are missing: zpp-nothing\nhint: install them" in done.stderr
    assert packages(programs, "bash bash\n").returncode == 0


@pytest.mark.parametrize(
    ("refused", "goals", "words", "stops"),
    [
        ("nothing", ["boot", "bochs"], [], False),
        ("--net", [], ["Bochs (VT-x) cannot run", "hint: run make as root"], False),
        ("--net", ["bochs"], ["Bochs (VT-x) cannot run", "stopped before anything"], True),
        ("--mount", ["bochs"], ["zpp.ko cannot be built"], False),
        ("--mount", ["boot"], ["zpp.ko cannot be built", "stopped before anything"], True),
        ("--", ["boot"], ["Bochs (VT-x) cannot run", "zpp.ko cannot be built"], True),
    ],
)
def test_what_the_machine_cannot_run(
    programs: Path, refused: str, goals: list[str], words: list[str], stops: bool
) -> None:
    put(programs / "unshare", f'case "$*" in *{refused}*) exit 1 ;; esac')
    done = subprocess.run(
        [SCRIPTS / "limits.sh", *goals], env={**os.environ, "PATH": str(programs)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == stops
    assert [word for word in words if word not in done.stderr] == []
    assert ("cannot" in done.stderr) == bool(words)
    assert "no loop devices here" in done.stderr  # the user is not root


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-f", ROOT / "Makefile", "help", *words], cwd=folder, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("ENGINE=qmu", "ENGINE must be auto, qemu or bochs, not 'qmu'"),
        ("ONLY=images", "ONLY must be image or write, not 'images'"),
    ],
)
def test_word_that_make_does_not_know(word: str, message: str) -> None:
    done = make(ROOT, word)
    assert done.returncode == 2
    assert message in done.stderr


def test_checkout_with_a_blank_in_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "my checkout"
    folder.mkdir()
    done = make(folder)
    assert done.returncode == 2
    assert f"move the checkout: {folder}" in done.stderr
