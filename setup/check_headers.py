"""Compiles each header of the core by itself: what a header needs, it includes.

    check_headers.py CLANG HEADER...
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INCLUDES = ["-Ihypervisor/include", "-Ihypervisor/src", "-Ihypervisor/loader"]
COMMON = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-pragma-once-outside-header"]
CXX = ["-x", "c++", "-std=c++20", "--target=x86_64-unknown-none-elf", "-ffreestanding"]
CXX += ["-fno-exceptions", "-fno-rtti"]
C = ["-x", "c", "-std=c17", "--target=x86_64-unknown-none-elf", "-ffreestanding"]


def languages(header: Path) -> list[list[str]]:
    """The contract is read by both languages, the loader's headers are C, the others C++."""
    if "include" in header.parts:
        return [C, CXX]
    return [C] if "loader" in header.parts else [CXX]


def compiles(clang: str, header: Path, language: Sequence[str]) -> bool:
    command = [clang, *language, *COMMON, *INCLUDES, str(header)]
    return subprocess.run(command, check=False).returncode == 0


def main(clang: str, headers: Sequence[str]) -> int:
    paths = [Path(header) for header in headers if header.startswith("hypervisor/")]
    bad = [p for p in paths if not all([compiles(clang, p, lang) for lang in languages(p)])]
    for path in bad:
        print(f"check: {path} does not compile alone", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
