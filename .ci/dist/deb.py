"""Make a Debian package of zpp-image: deb.py WHEEL OUTPUT_FOLDER.

It contains the wheel and, in the same private folder, the Python packages of .venv that it needs:
Debian does not have all of them. So it depends on the Python version that .venv has.
"""

from __future__ import annotations

import compileall
import gzip
import importlib.metadata
import os
import py_compile
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

NAME = "zpp-image"
PRIVATE = Path("usr/lib") / NAME
DOCUMENTS = Path("usr/share/doc") / NAME
COMPLETIONS = {
    "bash": Path("usr/share/bash-completion/completions") / NAME,
    "zsh": Path("usr/share/zsh/vendor-completions") / f"_{NAME}",
    "fish": Path("usr/share/fish/vendor_completions.d") / f"{NAME}.fish",
}
PROGRAM = """#!/usr/bin/python3 -Es
import sys

from efi_image.__main__ import run

sys.exit(run())
"""
CONTROL = """Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: The zpp developers <zpp@example.invalid>
Installed-Size: {size}
Depends: libstdc++6, python3 (>= {python}), python3 (<< {next_python})
Recommends: qemu-system-x86, ovmf
Suggests: gdb, mmdebstrap
Section: utils
Priority: optional
Description: {summary}
 zpp is a thin hypervisor that boots from a USB stick or an EFI system
 partition, takes every CPU, and lets the machine's own operating system run
 on top. This package has zpp for UEFI, and the tool that makes, checks, boots
 and writes its boot media.
"""


def main() -> int:
    wheel, output = map(Path, sys.argv[1:])
    root = output / "deb"
    shutil.rmtree(root, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / PRIVATE)
    packages = list(dependencies())
    for package in packages:
        copy(package, root / PRIVATE)
    move_data(root)
    write_program(root)
    write_documents(root, packages)
    compileall.compile_dir(
        root / PRIVATE, quiet=1, stripdir=root, prependdir="/", workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    write_completions(root)
    package_file = build(root, output)
    print(package_file)
    return 0


def dependencies() -> Iterator[importlib.metadata.Distribution]:
    """The installed packages that zpp-image needs, directly or not, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [NAME]
    while waiting:
        for line in importlib.metadata.distribution(waiting.pop()).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                name = needed.name.lower().replace("_", "-")
                if name not in found:
                    found[name] = importlib.metadata.distribution(name)
                    waiting.append(name)
    yield from (found[name] for name in sorted(found))


def copy(package: importlib.metadata.Distribution, target: Path) -> None:
    for file in package.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), place)


def move_data(root: Path) -> None:
    """Move the man pages to the folder where man looks for them, compressed."""
    (data,) = (root / PRIVATE).glob("*.data")
    pages = root / "usr/share/man/man1"
    pages.mkdir(parents=True)
    for page in sorted((data / "data/share/man/man1").iterdir()):
        write_compressed(pages / f"{page.name}.gz", page.read_bytes())
    shutil.rmtree(data)


def write_program(root: Path) -> None:
    program = root / PRIVATE / NAME
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)
    (root / "usr/bin").mkdir()
    (root / "usr/bin" / NAME).symlink_to(Path("..") / PRIVATE.relative_to("usr") / NAME)


def write_documents(root: Path, packages: list[importlib.metadata.Distribution]) -> None:
    (root / DOCUMENTS).mkdir(parents=True)
    changes = Path("CHANGELOG.md").read_bytes()
    write_compressed(root / DOCUMENTS / "changelog.gz", changes)
    texts = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Upstream-Name: zpp",
        "",
        "Files: *",
        "Copyright: 2026 The zpp developers",
        "License: Expat",
        *indented(Path("LICENSE").read_text(encoding="utf-8")),
        "",
        "Files: usr/lib/zpp-image/efi_image/data/zpp/*.efi",
        "Copyright: 2026 The zpp developers, 2019 TianoCore and contributors",
        "License: Expat and BSD-2-Clause-Patent",
        *indented((root / PRIVATE / "efi_image/data/zpp/LICENSE.edk2").read_text("utf-8")),
    ]
    for package in packages:
        texts += ["", *licence(package)]
    (root / DOCUMENTS / "copyright").write_text("\n".join(texts) + "\n", encoding="utf-8")


def licence(package: importlib.metadata.Distribution) -> Iterator[str]:
    """A paragraph about a Python package, with the licence that it declares."""
    top = sorted({PurePosixPath(file).parts[0] for file in package.files or ()} - {".."})
    about = package.metadata
    classified = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    name = about.get("License-Expression") or about.get("License") or ", ".join(classified)
    yield "Files: " + " ".join(str(PRIVATE / part) for part in top if part != "__pycache__")
    yield f"Copyright: the authors of {about['Name']} {package.version}"
    yield f"License: {(name or 'see its files').splitlines()[0]}"
    for file in package.files or ():
        if PurePosixPath(file).name.upper().startswith(("LICEN", "COPYING")):
            yield from indented(Path(str(file.locate())).read_text(encoding="utf-8"))


def indented(text: str) -> Iterator[str]:
    """The lines, indented as in a field of a control file."""
    return (f" {line.rstrip()}" if line.strip() else " ." for line in text.splitlines())


def write_completions(root: Path) -> None:
    for shell, path in COMPLETIONS.items():
        (root / path).parent.mkdir(parents=True)
        with (root / path).open("wb") as file:
            command = [sys.executable, "-Es", root / PRIVATE / NAME, "completion", shell]
            subprocess.run(command, stdout=file, check=True)


def write_compressed(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, mtime=0))


def build(root: Path, output: Path) -> Path:
    wheel = importlib.metadata.distribution(NAME)
    architecture = subprocess.check_output(("dpkg", "--print-architecture"), text=True).strip()
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    major, minor = sys.version_info[:2]
    control = CONTROL.format(
        name=NAME,
        version=wheel.version,
        architecture=architecture,
        size=sum(file.stat().st_size for file in files) // 1024,
        python=f"{major}.{minor}",
        next_python=f"{major}.{minor + 1}",
        summary=wheel.metadata["Summary"],
    )
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(control, encoding="utf-8")
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (int(os.environ["SOURCE_DATE_EPOCH"]),) * 2)
    target = output / f"{NAME}_{wheel.version}_{architecture}.deb"
    subprocess.run(
        ("dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, target),
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return target


if __name__ == "__main__":
    sys.exit(main())
