"""Check the C and C++ sources with the flags in compile_commands.json.

c_sources.py headers TOOLCHAIN    each header compiles alone: it includes all that it needs
c_sources.py tidy TOOLCHAIN       clang-tidy, with the checks of .clang-tidy
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ("hypervisor/include", "hypervisor/src", "hypervisor/loader", "windows")
# The languages that a folder's headers are read by; `windows` is C with Windows' headers.
LANGUAGES = {"include": ["c", "c++"], "loader": ["c"], "src": ["c++"], "windows": ["windows"]}
# A header is not a program: what it only offers is unused, and the compiler takes it for a source.
ALONE = ["-fsyntax-only", "-Wno-pragma-once-outside-header", "-Wno-unused"]
DROPPED = {"-c", "-MMD", "-MP"}

Check = tuple[str, list[str], Path]  # what is checked, the command, where it runs


def read_commands() -> list[tuple[Path, list[str], Path]]:
    """File, arguments without file and output, folder."""
    entries = json.loads((ROOT / "compile_commands.json").read_text())
    return [
        (Path(e["file"]), flags(e["arguments"], e["file"]), Path(e["directory"])) for e in entries
    ]


def flags(arguments: list[str], file: str) -> list[str]:
    kept = [a for a in arguments if a not in DROPPED and a != file]
    if "-o" in kept:
        del kept[kept.index("-o") : kept.index("-o") + 2]
    return [a for a in kept if not a.startswith("-x")]


def header_checks(_toolchain: Path) -> Iterable[Check]:
    """The contract is read by both languages, the loader's headers by C, the others by C++."""
    commands = read_commands()
    languages = {
        "c++": next((c for c in commands if c[0].suffix == ".cpp"), None),
        "c": next((c for c in commands if c[0].suffix == ".c"), None),
        "windows": next((c for c in commands if c[0].parts[0] == "windows"), None),
    }
    for folder in HEADERS:
        for header in sorted((ROOT / folder).rglob("*.h*")):
            for name in LANGUAGES[Path(folder).name]:
                command = languages[name]
                if command is None:
                    sys.exit("check: compile_commands.json is empty: run 'make' first")
                _, arguments, where = command
                yield (
                    f"{header.relative_to(ROOT)} ({name})",
                    [*arguments, *ALONE, "-x", "c++" if name == "c++" else "c", str(header)],
                    where,
                )


def tidy_checks(toolchain: Path) -> Iterable[Check]:
    for file, _, where in read_commands():
        path = (where / file).resolve()
        if any(path.is_relative_to(ROOT / folder) for folder in ("hypervisor", "windows")):
            command = [str(toolchain / "clang-tidy"), "--quiet", "-p", str(ROOT), str(path)]
            yield str(path.relative_to(ROOT)), command, ROOT


def passes(check: Check) -> bool:
    what, command, where = check
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{done.stdout}{done.stderr}check: {what} does not pass", file=sys.stderr, flush=True)
    return done.returncode == 0


def main(kind: str, toolchain: str) -> int:
    kinds: dict[str, Callable[[Path], Iterable[Check]]] = {
        "headers": header_checks,
        "tidy": tidy_checks,
    }
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        results = list(workers.map(passes, kinds[kind](Path(toolchain))))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
