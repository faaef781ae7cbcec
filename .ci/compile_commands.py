"""Write compile_commands.json to the root of the repository, for clangd and clang-tidy.

    compile_commands.py TOOLCHAIN BUILD_FOLDER

The core's commands are those that clang wrote beside each object (-MJ). The loaders' C and the C of
the tests get only the flags that an editor needs.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "compile_commands.json"
CORE = ROOT / "hypervisor"
# As windows/Makefile and toolchain.py have them, with Debian's headers.
WINDOWS = [
    "--target=x86_64-w64-windows-gnu", "-nostdlibinc", "-fms-extensions", "-ffreestanding",
    "-D__INTRIN_H_", "-D_WIN32_WINNT=0x0A00", "-DNTDDI_VERSION=0x0A000000",
    "-DZPP_SERIAL_PORT=0x3f8", "-DZPP_WAIT_FOR_DEBUGGER=0", "-Wno-multichar", "-Wno-pragma-pack",
    "-isystem", "/usr/share/mingw-w64/include/ddk", "-isystem", "/usr/share/mingw-w64/include",
    "-Ihypervisor/loader",
]  # fmt: skip
C_SOURCES = {
    "hypervisor/loader/*.c": ["--target=x86_64-linux-gnu", "-ffreestanding"],
    "tests/guest/linux/*.c": ["--target=x86_64-linux-gnu", "-ffreestanding"],
    "windows/*.c": WINDOWS,
    "tests/windows/*.c": [*WINDOWS, "-Iwindows", "-Wno-inconsistent-dllimport"],
}


def noted(build: Path) -> list[dict[str, Any]]:
    """The core's entries; clang ends each with a comma, and the checkout may have moved since."""
    texts = [path.read_text().rstrip().rstrip(",") for path in sorted(build.rglob("*.o.json"))]
    entries = [json.loads(text) | {"directory": str(CORE)} for text in texts]
    return [entry for entry in entries if (CORE / entry["file"]).exists()]


def derived(toolchain: str) -> list[dict[str, Any]]:
    return [
        {
            "directory": str(ROOT),
            "file": str(path.relative_to(ROOT)),
            "arguments": [
                f"{toolchain}/clang",
                *flags,
                "-std=c17",
                "-Wall",
                "-Wextra",
                "-Ihypervisor/include",
                "-c",
                str(path.relative_to(ROOT)),
            ],
        }
        for pattern, flags in C_SOURCES.items()
        for path in sorted(ROOT.glob(pattern))
    ]


def main(toolchain: str, build: str) -> None:
    text = json.dumps(noted(Path(build)) + derived(toolchain), indent=1) + "\n"
    if not TARGET.exists() or TARGET.read_text() != text:
        TARGET.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
