"""Measure the coverage of the Python and of the core: measure_coverage.py TOOLCHAIN FOLDER MARKERS.

Runs the unit tests with these markers under coverage.py, and the host tests with clang's counters.
Prints a table by folder, and writes HTML to FOLDER/python and FOLDER/core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNTERS = "-fprofile-instr-generate -fcoverage-mapping"
Lines = tuple[str, int, int]  # a file, its lines of code, those that were run


def run(*words: str | Path) -> None:
    """Run a command that must succeed; its output goes to the terminal."""
    if subprocess.run(words, cwd=ROOT, check=False).returncode:
        sys.exit(f"coverage: failed: {' '.join(map(str, words))}")


def measure_python(folder: Path, markers: str) -> list[Lines]:
    """The lines of efi_image that tests run, those of processes they start too."""
    coverage = (sys.executable, "-m", "coverage")
    os.environ["COVERAGE_FILE"] = str(folder / "python.data")
    run(*coverage, "erase")
    tests = ("-q", "-n", str(os.cpu_count()), "--dist", "worksteal", "-m", markers, "tests/unit")
    run(*coverage, "run", "-m", "pytest", *tests)
    run(*coverage, "combine", "-q")
    run(*coverage, "html", "-q", "-d", folder / "python")
    run(*coverage, "json", "-q", "-o", folder / "python.json")
    files = json.loads((folder / "python.json").read_text())["files"]
    return [
        (name, file["summary"]["num_statements"], file["summary"]["covered_lines"])
        for name, file in files.items()
    ]


def measure_core(toolchain: Path, folder: Path) -> list[Lines]:
    """The lines of the core and of the loaders that the host tests run."""
    build = folder / "host"
    host = ROOT / "tests/host"
    make = ("make", "-j", str(os.cpu_count()), "-C", host, f"TOOLCHAIN={toolchain}")
    profile = folder / "core.profraw"
    os.environ["LLVM_PROFILE_FILE"] = str(profile)
    run(*make, f"BUILD={build}", f"SANITIZE={COUNTERS}", "tests")
    data, program = folder / "core.profdata", build / "tests"
    run(toolchain / "llvm-profdata", "merge", "-sparse", profile, "-o", data)
    shown = (f"-instr-profile={data}", f"-ignore-filename-regex={host}/", program)
    run(toolchain / "llvm-cov", "show", "-format=html", f"-output-dir={folder / 'core'}", *shown)
    export = subprocess.run(
        [toolchain / "llvm-cov", "export", "-summary-only", *shown],
        stdout=subprocess.PIPE,
        check=True,
    )
    return [
        (os.path.relpath(file["filename"], ROOT), *counts(file["summary"]["lines"]))
        for file in json.loads(export.stdout)["data"][0]["files"]
        if Path(file["filename"]).is_relative_to(ROOT)
    ]


def counts(lines: dict[str, int]) -> tuple[int, int]:
    return lines["count"], lines["covered"]


def table(files: Iterable[Lines], depth: int) -> str:
    """One line for each folder, named by its first `depth` parts, and one for the sum."""
    totals: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for name, total, run_lines in files:
        folder = "/".join(Path(name).parent.parts[:depth]) + "/"
        for row in (folder, "all"):
            totals[row] += total
            covered[row] += run_lines
    rows = [*sorted(totals.keys() - {"all"}), "all"]
    return "\n".join(
        f"  {row:26} {totals[row]:6} lines {100 * covered[row] / max(totals[row], 1):6.1f} %"
        for row in rows
    )


def main(toolchain: str, target: str, markers: str) -> None:
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    core = measure_core(Path(toolchain), folder)
    python = measure_python(folder, markers)
    print("The core and the loaders, by the host tests:", table(core, 3), sep="\n")
    print(f"zpp-image, by the tests marked {markers}:", table(python, 2), sep="\n")
    print(f"HTML: {target}/core/index.html {target}/python/index.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
