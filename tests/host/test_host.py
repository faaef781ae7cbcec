"""Runs the programs that tests/host/Makefile builds: the tests of the core's logic, the fuzzers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from efi_image.config.environment import load

HERE = Path(__file__).parent
FUZZERS = sorted(path.stem for path in HERE.glob("fuzz/fuzz_*.cpp"))


@pytest.mark.parametrize("target", ["tests", "reference", *FUZZERS])
def test_program(target: str) -> None:
    config = load()
    variables = {
        "CONFIGURATION": config.values()["CONFIGURATION"],
        "TOOLCHAIN": config.values()["TOOLCHAIN"],
        "OUT": str(config.build_directory),
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "-s", "-C", HERE, target, *(f"{k}={v}" for k, v in variables.items())],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
