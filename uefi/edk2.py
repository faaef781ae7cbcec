#!/usr/bin/env python3
"""Downloads EDK2, the UEFI development kit, and builds the one host tool that a driver build needs.

The source is the upstream tarball of Debian's package ``edk2``. apt's own downloader gets it from
the Debian mirror that apt is configured for, through apt's proxies. Its SHA-256 is pinned here, so
neither the mirror nor the transport has to be trusted. It changes no apt configuration and
downloads no package index.

``make setup`` runs it; a second run does nothing. It uses only the standard library, because it
runs before the project's Python environment exists.

    edk2.py [--cache DIR] [--root DIR]

``--root`` (or the environment variable EDK2_ROOT) selects your own EDK2 tree: it is checked, and
its GenFw is built if it is missing. Exit codes: 0 ready, 1 failed, 2 usage.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

APT_HELPER = Path("/usr/lib/apt/apt-helper")
REPOSITORY = Path(__file__).resolve().parent.parent
STAMP_NAME = ".zpp-edk2"
TREE_PARTS = (
    "BaseTools/Source/Python/build/build.py",
    "MdePkg/MdePkg.dec",
    "MdeModulePkg/MdeModulePkg.dec",
)


class Edk2Error(Exception):
    """EDK2 is not usable; ``hint`` tells how to fix that."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Release:
    """An EDK2 release in Debian's package pool."""

    version: str
    pool_path: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The tarball's name, without its folder."""
        return self.pool_path.rpartition("/")[2]

    @property
    def top_folder(self) -> str:
        """The single folder inside the tarball."""
        return f"edk2-{self.version}"


RELEASE = Release(
    version="2022.11",
    pool_path="pool/main/e/edk2/edk2_2022.11.orig.tar.xz",
    sha256="64257dd8a2778c969b8a869cd3b6eda2db2a346bfcf24dc729859745968f1fd6",
)


def debian_mirror() -> str:
    """The Debian archive that apt is configured for."""
    # Python adds only the script's own folder to the path.
    sys.path.insert(0, str(REPOSITORY))
    from efi_image.emulator.debian.apt import debian_mirror as mirror  # noqa: PLC0415
    from efi_image.errors import ZppError  # noqa: PLC0415

    try:
        return mirror()
    except ZppError as error:
        raise Edk2Error(
            str(error), "run this on Debian, or set EDK2_ROOT to your own EDK2 tree"
        ) from error


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(release: Release, target: Path) -> None:
    """Downloads the release's tarball to ``target`` and checks its digest; keeps a valid one."""
    if target.exists() and sha256_of(target) == release.sha256:
        return
    hint = f"check the network and apt's proxy settings, or copy the file to {target}"
    url = f"{debian_mirror()}/{release.pool_path}"
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    # Not as apt's sandbox user, who cannot write here.
    run_quietly(
        [str(APT_HELPER), "-o", "APT::Sandbox::User=", "download-file", url, str(partial)],
        f"cannot download {url}",
        hint,
    )
    found = sha256_of(partial)
    if found != release.sha256:
        partial.unlink()
        raise Edk2Error(f"{url} has the SHA-256 {found}, expected {release.sha256}", hint)
    partial.replace(target)


def unpack(release: Release, tarball: Path, root: Path) -> None:
    """Unpacks the tarball to ``root``, which appears only when it is complete."""
    staging = root.with_name(root.name + ".new")
    shutil.rmtree(staging, ignore_errors=True)
    with tarfile.open(tarball) as archive:
        # No filter is needed, as the digest is pinned. Python 3.12 warns without this line.
        archive.extraction_filter = lambda member, _path: member
        archive.extractall(staging)  # noqa: S202
    shutil.rmtree(root, ignore_errors=True)
    (staging / release.top_folder).rename(root)
    staging.rmdir()


def check_tree(root: Path) -> None:
    """Checks that ``root`` is an EDK2 source tree; raises Edk2Error."""
    for part in TREE_PARTS:
        if not (root / part).exists():
            raise Edk2Error(f"{root} is not an EDK2 tree: {part} is missing", "correct EDK2_ROOT")


def build_tools(root: Path) -> None:
    """Builds GenFw, which converts a linked DLL to an EFI file, if it is missing."""
    source = root / "BaseTools/Source/C"
    if (source / "bin/GenFw").exists():
        return
    for folder in ("libs", "bin"):
        (source / folder).mkdir(exist_ok=True)
    jobs = f"-j{os.cpu_count() or 1}"
    # Common first: GenFw's makefile links its library but does not build it.
    for part in ("Common", "GenFw"):
        run_quietly(
            ["make", "-C", str(source / part), jobs, "HOST_ARCH=X64"],
            f"cannot build EDK2's BaseTools ({part})",
            "install a C and C++ compiler, make and uuid-dev: run `make setup`",
        )


def run_quietly(command: Sequence[str], failure: str, hint: str) -> str:
    """Runs a command and returns its output; an error contains the reason that it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["LC_ALL"] = "C"
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise Edk2Error(f"{failure}: {command[0]} is not installed", hint) from error
    if result.returncode != 0:
        raise Edk2Error(f"{failure}: {last_error(result.stderr) or last_line(result.stdout)}", hint)
    return result.stdout


def last_line(text: str) -> str:
    """The last line that is not blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def last_error(text: str) -> str:
    """The first line with an error, else the last line: compilers print a summary last."""
    return next((line.strip() for line in text.splitlines() if "error:" in line), last_line(text))


def prepare(cache: Path, release: Release = RELEASE) -> Path:
    """Downloads and builds EDK2 in ``cache``; returns its root."""
    root = cache / "edk2"
    stamp = root / STAMP_NAME
    if not (stamp.exists() and stamp.read_text() == release.sha256):
        cache.mkdir(parents=True, exist_ok=True)
        tarball = cache / release.file_name
        print(f"edk2: downloading EDK2 {release.version}", flush=True)
        download(release, tarball)
        unpack(release, tarball, root)
        build_tools(root)
        stamp.write_text(release.sha256)
        tarball.unlink()
    build_tools(root)
    return root


def prepare_own(root: Path) -> Path:
    """Checks the user's EDK2 tree and builds its GenFw if it is missing."""
    check_tree(root)
    build_tools(root)
    return root


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Download EDK2 and build the tool that a driver build needs."
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=REPOSITORY / ".cache",
        help="folder to create edk2/ in (default: .cache)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=os.environ.get("EDK2_ROOT") or None,
        help="use this EDK2 tree (default: EDK2_ROOT)",
    )
    return parser.parse_args(arguments)


def hint_for(error: Exception) -> str:
    """How to fix a file that cannot be written or unpacked."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "EDK2 needs 250 MB: free some space"
    return "run it again; if it fails again, remove .cache/edk2*"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command-line entry; returns the exit code."""
    options = parse_arguments(arguments)
    try:
        root = prepare_own(options.root) if options.root else prepare(options.cache)
    except Edk2Error as error:
        print(f"edk2: {error}\nhint: {error.hint}", file=sys.stderr)
        return 1
    except (OSError, tarfile.TarError) as error:
        print(f"edk2: {error}\nhint: {hint_for(error)}", file=sys.stderr)
        return 1
    print(f"edk2: ready in {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
