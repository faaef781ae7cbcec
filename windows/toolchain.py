"""Writes the response files for clang and lld-link: which headers and libraries the driver gets.

    toolchain.py FOLDER [--visual-studio ROOT] [--kits ROOT --kits-version VERSION]

FOLDER/compile.rsp and FOLDER/link.rsp are rewritten only when they change. Without the two options
it is mingw-w64's headers and the driver's own import library; with them the Windows Driver Kit's
headers and ntoskrnl.lib, and the compiler's own headers of Visual Studio.
"""

import argparse
import re
import sys
from pathlib import Path

MINGW = Path("/usr/share/mingw-w64/include")


class ToolchainError(Exception):
    """What is missing, and where, in one line."""


def version_key(name: str) -> tuple[int, ...]:
    """Orders 10.0.9.0 before 10.0.10.0."""
    return tuple(int(number) for number in re.findall(r"\d+", name))


def folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise ToolchainError(f"{what}: there is no folder {path}")
    return path


def newest(parent: Path, what: str) -> Path:
    versions = [p for p in folder(parent, what).iterdir() if re.fullmatch(r"\d+(\.\d+)+", p.name)]
    if not versions:
        raise ToolchainError(f"{what}: {parent} has no version")
    return max(versions, key=lambda path: version_key(path.name))


def mingw() -> tuple[list[str], list[str]]:
    """Compiler and linker arguments with mingw-w64's headers."""
    include = folder(MINGW, "mingw-w64's headers (package mingw-w64-common, 'make setup')")
    # clang has the intrinsics itself; as mingw-w64 declares them, wdm.h would define two in every
    # object, with external linkage.
    arguments = ["--target=x86_64-w64-windows-gnu", "-nostdlibinc", "-fms-extensions"]
    return [*arguments, "-D__INTRIN_H_", *system(include / "ddk", include)], []


def kits(visual_studio: str, root: str, version: str) -> tuple[list[str], list[str]]:
    """Compiler and linker arguments with Visual Studio and the Windows Driver Kit."""
    if not (visual_studio and root):
        raise ToolchainError("VISUAL_STUDIO_ROOT and WINDOWS_KITS_ROOT go together")
    compiler = newest(Path(visual_studio) / "VC/Tools/MSVC", "VISUAL_STUDIO_ROOT")
    headers = Path(root) / "Include"
    headers = headers / version if version else newest(headers, "WINDOWS_KITS_ROOT")
    libraries = folder(Path(root) / "Lib" / headers.name / "km/x64", "WINDOWS_KITS_ROOT")
    folders = [headers / "km", headers / "km/crt", headers / "shared", compiler / "include"]
    for path in (folders[0], *folders[2:]):
        folder(path, "VISUAL_STUDIO_ROOT" if path == folders[-1] else "WINDOWS_KITS_ROOT")
    arguments = ["--target=x86_64-pc-windows-msvc", "-nostdlibinc", "-fms-compatibility"]
    return [*arguments, "-D_AMD64_", *system(*folders)], [f"/libpath:{libraries}"]


def system(*folders: Path) -> list[str]:
    return [word for path in folders for word in ("-isystem", str(path))]


def quoted(arguments: list[str]) -> str:
    """The text of a response file: clang and lld-link agree about double quotes."""
    return "".join(f'"{word}"\n' if " " in word else f"{word}\n" for word in arguments)


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write compile.rsp and link.rsp.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--visual-studio", default="")
    parser.add_argument("--kits", default="")
    parser.add_argument("--kits-version", default="")
    options = parser.parse_args(arguments)
    try:
        if options.visual_studio or options.kits:
            compiler, linker = kits(options.visual_studio, options.kits, options.kits_version)
        else:
            compiler, linker = mingw()
    except ToolchainError as error:
        print(f"windows: {error}", file=sys.stderr)
        return 1
    options.folder.mkdir(parents=True, exist_ok=True)
    write_if_changed(options.folder / "compile.rsp", quoted(compiler))
    write_if_changed(options.folder / "link.rsp", quoted(linker))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
