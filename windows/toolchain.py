"""Writes the response file for clang with the target and the include paths of the driver.

    toolchain.py FILE [--visual-studio ROOT --kits ROOT [--kits-version VERSION]]

Uses mingw-w64's headers, or with the options those of the Windows Driver Kit and of the newest
compiler in Visual Studio. Rewrites the file only if it changes. The driver links with neither's
libraries, but with its own import list (ntoskrnl.def).
"""

import argparse
import re
import sys
from pathlib import Path

# The paths on Debian, Arch and Fedora.
MINGW = tuple(
    Path(folder)
    for folder in (
        "/usr/share/mingw-w64/include",
        "/usr/x86_64-w64-mingw32/include",
        "/usr/x86_64-w64-mingw32/sys-root/mingw/include",
    )
)


class ToolchainError(Exception):
    """A folder is missing; the message names it."""


def version_key(name: str) -> tuple[int, ...]:
    """A sort key that orders 10.0.9.0 before 10.0.10.0."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


def require_folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise ToolchainError(f"{what}: {path} is missing")
    return path


def newest(parent: Path, what: str) -> Path:
    versions = [
        p for p in require_folder(parent, what).iterdir() if re.fullmatch(r"\d+(\.\d+)+", p.name)
    ]
    if not versions:
        raise ToolchainError(f"{what}: {parent} contains no version folder")
    return max(versions, key=lambda path: version_key(path.name))


def mingw() -> list[str]:
    """clang's arguments with mingw-w64's headers."""
    there = (folder for folder in MINGW if (folder / "ddk/ntddk.h").exists())
    include = require_folder(
        next(there, MINGW[0]), "mingw-w64's headers (mingw-w64-common, 'make setup')"
    )
    # clang has the intrinsics built in. With mingw-w64's declarations, wdm.h would define two of
    # them in every object, with external linkage.
    arguments = ["--target=x86_64-w64-windows-gnu", "-nostdlibinc", "-fms-extensions"]
    return [*arguments, "-D__INTRIN_H_", *system(include / "ddk", include)]


def kits(visual_studio: str, root: str, version: str) -> list[str]:
    """clang's arguments with Visual Studio and the Windows Driver Kit."""
    if not (visual_studio and root):
        raise ToolchainError("set both VISUAL_STUDIO_ROOT and WINDOWS_KITS_ROOT, or neither")
    compiler = newest(Path(visual_studio) / "VC/Tools/MSVC", "VISUAL_STUDIO_ROOT") / "include"
    require_folder(compiler, "VISUAL_STUDIO_ROOT")
    headers = Path(root) / "Include"
    headers = headers / version if version else newest(headers, "WINDOWS_KITS_ROOT")
    folders = [
        require_folder(headers / name, "WINDOWS_KITS_ROOT") for name in ("km", "km/crt", "shared")
    ]
    # The first Windows 10 has only functions that later kits call deprecated.
    arguments = ["--target=x86_64-pc-windows-msvc", "-nostdlibinc", "-Wno-deprecated-declarations"]
    return [*arguments, "-D_AMD64_", *system(*folders, compiler)]


def system(*folders: Path) -> list[str]:
    return [word for path in folders for word in ("-isystem", str(path))]


def quoted(arguments: list[str]) -> str:
    """The text of a response file."""
    return "".join(f'"{word}"\n' if " " in word else f"{word}\n" for word in arguments)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write clang's response file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--visual-studio", default="")
    parser.add_argument("--kits", default="")
    parser.add_argument("--kits-version", default="")
    options = parser.parse_args(arguments)
    try:
        if options.visual_studio or options.kits:
            words = kits(options.visual_studio, options.kits, options.kits_version)
        else:
            words = mingw()
    except ToolchainError as error:
        print(f"windows: {error}", file=sys.stderr)
        return 1
    options.file.parent.mkdir(parents=True, exist_ok=True)
    if not options.file.exists() or options.file.read_text(encoding="utf-8") != quoted(words):
        options.file.write_text(quoted(words), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
