"""The recipes of CONTRIBUTING.md, followed step by step in a copy of the sources."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from efi_image.config.environment import load

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
COPIED = ("efi_image", "hypervisor", "tests/host", "tests/unit")
FILES = (
    ".clang-format",
    "environment.config",
    "pyproject.toml",
    "tests/conftest.py",
    "docs/reference/verify.md",
)
# The host tests that the recipe changes, and what they need of the fakes and of the core.
OBJECTS = (
    "main", "test_handle", "test_vmx_capabilities", "fake_core", "fake_msrs", "fake_registers",
    "fake_windows", "core/core/log", "core/core/machine", "core/core/machine_check",
    "core/core/requirements", "core/emulate/control", "core/emulate/cpuid", "core/emulate/features",
    "core/emulate/hypercall", "core/emulate/msr", "core/emulate/sleep", "core/guest/windows",
    "core/lib/format", "core/paging/mtrr", "core/vmx/capabilities",
)  # fmt: skip
# A sentence that ends with what to do, and the block of code to do it with.
STEP = re.compile(
    r"(?:New file \*\*(?P<new>[^*]+)\*\*|"
    r"In `(?P<file>[^`]+)`, (?P<where>above|below|instead of)\s+`(?P<anchor>.+?)`):\n\n"
    r"(?P<indent> *)```\w+\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def recipe(title: str) -> str:
    """The text of a recipe."""
    return GUIDE.split(f"\n### Recipe: {title}\n")[1].split("\n## ")[0].split("\n### ")[0]


def follow(text: str, root: Path) -> list[Path]:
    """Do a recipe's edits; the files that were changed."""
    changed = []
    for step in STEP.finditer(text):
        path = root / (step["new"] or step["file"])
        lines = step["code"].splitlines(keepends=True)
        code = "".join(line.removeprefix(step["indent"]) for line in lines)
        if step["new"]:
            assert not path.exists()
            path.write_text(code)
        else:
            insert(path, step["where"], step["anchor"], code)
        changed.append(path)
    assert len(changed) == text.count("```cpp\n") + text.count("```python\n")
    return changed


def insert(path: Path, where: str, anchor: str, code: str) -> None:
    """Put code above, below or instead of the one line that ends with `anchor`."""
    lines = path.read_text().splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip().endswith(anchor)]
    assert len(found) == 1, f"{path}: {len(found)} lines end with {anchor}"
    first = found[0] + (where == "below")
    lines[first : first + (where == "instead of")] = [code]
    path.write_text("".join(lines))


def run(script: str, root: Path) -> str:
    """The output of a recipe's commands, which must succeed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTEST"))}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=root, env=kept | {"PYTHONPATH": str(root)}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(done.stdout, pytrace=False)
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources that recipes change or need, and the environment."""
    root = tmp_path / "zpp"
    for folder in COPIED:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, root / file)
    (root / ".venv").symlink_to(sys.prefix)
    return root


@pytest.mark.parametrize("title", ["a command", "a verify rule"])
def test_python(title: str, copy: Path) -> None:
    text = recipe(title)
    changed = follow(text, copy)
    scripts = [textwrap.dedent(block) for block in SHELL.findall(text)]
    assert scripts
    for script in scripts:
        run(script, copy)
    names = " ".join(str(path.relative_to(copy)) for path in changed)
    run(f".venv/bin/ruff check {names}", copy)
    run(f".venv/bin/ruff format --check {names}", copy)
    run(".venv/bin/python -m pytest -q -n0 tests/unit/test_layers.py -k 'down or no_circles'", copy)


def test_exit_handler(copy: Path) -> None:
    text = recipe("an exit handler")
    changed = follow(text, copy)
    toolchain = load().values()["TOOLCHAIN"]
    names = " ".join(str(path) for path in changed)
    run(f"{toolchain}/clang-format --dry-run --Werror {names}", copy)
    # the whole core, and of the host tests those that the recipe changes; the fastest build
    flags = f"TOOLCHAIN={toolchain} OUT={copy}/out OPTIMIZE_release=-O0"
    run(f"make -j2 -C hypervisor {flags}", copy)
    objects = " ".join(f"{copy}/out/host-tests/{name}.o" for name in OBJECTS)
    output = run(f"make -j2 -C tests/host tests SANITIZE= {flags} OBJECTS='{objects}'", copy)
    assert "SUCCESS" in output
