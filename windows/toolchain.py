"""Writes the response file for clang that says which headers the driver gets.

    toolchain.py FILE [--visual-studio ROOT --kits ROOT [--kits-version VERSION]]

mingw-w64's headers without the options; with them those of the Windows Driver Kit and of the newest
compiler in Visual Studio. The file is rewritten only when it changes. No library is taken of
either: the driver links with a list of its own (ntoskrnl.def).
"""

import argparse
import re
import sys
from pathlib import Path

# Where Debian, Arch and Fedora have them.
MINGW = tuple(
    Path(folder)
    for folder in (
        "/usr/share/mingw-w64/include",
        "/usr/x86_64-w64-mingw32/include",
        "/usr/x86_64-w64-mingw32/sys-root/mingw/include",
    )
)


class ToolchainError(Exception):
    """What is missing, and where, in one line."""


def version_key(name: str) -> tuple[int, ...]:
    """Orders 10.0.9.0 before 10.0.10.0."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


def present(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise ToolchainError(f"{what}: there is no folder {path}")
    return path


def newest(parent: Path, what: str) -> Path:
    versions = [p for p in present(parent, what).iterdir() if re.fullmatch(r"\d+(\.\d+)+", p.name)]
    if not versions:
        raise ToolchainError(f"{what}: {parent} has no version")
    return max(versions, key=lambda path: version_key(path.name))


def mingw() -> list[str]:
    """clang's arguments with mingw-w64's headers."""
    there = (folder for folder in MINGW if (folder / "ddk/ntddk.h").exists())
    include = present(next(there, MINGW[0]), "mingw-w64's headers (mingw-w64-common, 'make setup')")
    # clang has the intrinsics itself; as mingw-w64 declares them, wdm.h would define two in every
    # object, with external linkage.
    arguments = ["--target=x86_64-w64-windows-gnu", "-nostdlibinc", "-fms-extensions"]
    return [*arguments, "-D__INTRIN_H_", *system(include / "ddk", include)]


def kits(visual_studio: str, root: str, version: str) -> list[str]:
    """clang's arguments with Visual Studio and the Windows Driver Kit."""
    if not (visual_studio and root):
        raise ToolchainError("VISUAL_STUDIO_ROOT and WINDOWS_KITS_ROOT go together")
    compiler = newest(Path(visual_studio) / "VC/Tools/MSVC", "VISUAL_STUDIO_ROOT") / "include"
    present(compiler, "VISUAL_STUDIO_ROOT")
    headers = Path(root) / "Include"
    headers = headers / version if version else newest(headers, "WINDOWS_KITS_ROOT")
    folders = [present(headers / name, "WINDOWS_KITS_ROOT") for name in ("km", "km/crt", "shared")]
    # What later kits call deprecated is all there is in the first Windows 10.
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
