"""Installs Bochs, OVMF and QEMU of a newer Debian into a folder of their own, the root.

The packages are only unpacked, not installed or configured, and Bochs is started by the root's
own dynamic linker. So an ordinary user can install and run it, and nothing is mounted.

A root is built beside its final place and renamed after it has passed its check. Only a folder
with the marker file is ever replaced or removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from efi_image.config import environment as config
from efi_image.emulator.bochs_parts import make_parts, sources_digest
from efi_image.emulator.debian import mmdebstrap
from efi_image.errors import (
    EmulatorFailed,
    EmulatorMissing,
    MissingError,
    OutputError,
    UsageError,
)

LAYOUT = 2  # roots with another number are made again
SUITE = "forky"
PACKAGES = ("bochs", "bochsbios", "vgabios", "ovmf", "qemu-system-x86")
MARKER = "zpp/rig.json"  # an old name; existing roots have it
LIBRARIES = "usr/lib/x86_64-linux-gnu"
INSTALL_HINT = "install it with `zpp-image bochs install`"

_LINKER = "usr/lib64/ld-linux-x86-64.so.2"
_BOCHS = "usr/bin/bochs-bin"
_FIX = "zpp/bochs_fix.so"
_PLUGINS = "zpp/plugins"
_DIVIDE = "zpp/divide.efi"
_FIRMWARE = "usr/share/ovmf/OVMF.fd"
_FIRMWARE_PARTS = "usr/share/OVMF"
_QEMU = "usr/bin/qemu-system-x86_64"
_QEMU_DATA = "usr/share/qemu"
# those whose versions the marker file has; a root without one of them is made again
_VERSIONED = ("bochs", "ovmf", "qemu-system-x86")
_VGA_BIOS = "usr/share/bochs/VGABIOS-lgpl-latest"
_REQUIRED = (_LINKER, _BOCHS, _FIX, _PLUGINS, _DIVIDE, _FIRMWARE, _VGA_BIOS)
# Bochs loads every plugin that it finds. These need a desktop's libraries; without some of the
# others (sounddummy, gameport) it crashes.
_UNUSED_PLUGINS = re.compile(r"libbx_(wx_gui|sound(?!dummy)|eth_(?!null))")
_PRUNED = ("var", "tmp", "dev", "etc", "usr/share/doc", "usr/share/locale", "usr/share/icons",
           "usr/share/man", "usr/share/fonts", "usr/lib/systemd")  # fmt: skip
_FIX_LINE = "bochs_fix: 64-bit IDIV and broadcast SIPI fixed"
_FIX_TESTED = "bochs_fix: tested"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BochsVersion:
    """What a root is made of, as in its marker file."""

    layout: int
    suite: str
    packages: Mapping[str, str]
    sources: str  # SHA-256 of the sources of the project's own parts

    @property
    def summary(self) -> str:
        """The packages with their versions."""
        return ", ".join(f"{name} {version}" for name, version in self.packages.items())


@dataclass(frozen=True, slots=True)
class BochsInstall:
    """An installed root, and how to start Bochs in it."""

    root: Path
    version: BochsVersion

    @property
    def firmware(self) -> Path:
        """OVMF, code and variables in one file."""
        return self.root / _FIRMWARE

    @property
    def firmware_parts(self) -> Path:
        """The folder of OVMF's builds, with code and variables apart."""
        return self.root / _FIRMWARE_PARTS

    @property
    def qemu(self) -> tuple[str, ...]:
        """The command line of its QEMU, without the machine; raises EmulatorMissing."""
        if not (self.root / _QEMU).exists():
            raise EmulatorMissing(
                f"{_QEMU} is missing", where=str(self.root),
                hint="bring it up to date with `zpp-image bochs install`",
            )  # fmt: skip
        return (
            *(str(self.root / _LINKER), "--library-path", str(self.root / LIBRARIES)),
            *(str(self.root / _QEMU), "-L", str(self.root / _QEMU_DATA)),
        )

    @property
    def divide(self) -> Path:
        """The EFI program of `zpp-image bochs check`."""
        return self.root / _DIVIDE

    def command(self, *arguments: str, root: Path | None = None) -> list[str]:
        """The command line of Bochs; `root` is another name of the root, such as a link."""
        at = root or self.root
        return [
            *(str(at / _LINKER), "--preload", str(at / _FIX)),
            *("--library-path", str(at / LIBRARIES)),
            *(str(at / _BOCHS), *arguments),
        ]

    def environment(self, root: Path | None = None) -> dict[str, str]:
        """The variables that Bochs needs."""
        at = root or self.root
        return {
            "LTDL_LIBRARY_PATH": str(at / _PLUGINS),
            "BXSHARE": str(at / "usr/share/bochs"),
        }


def default_root() -> Path:
    """Where the root is: BOCHS_ROOT, or in the user's cache folder."""
    return config.load().bochs_root or config.user_cache() / "bochs"


def find(root: Path) -> BochsInstall:
    """The installation at `root`; raises EmulatorMissing if there is none or it is incomplete."""
    try:
        version = BochsVersion(**json.loads((root / MARKER).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise EmulatorMissing(
            "the Bochs root is missing", where=str(root), hint=INSTALL_HINT
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise EmulatorMissing(
            f"the Bochs root cannot be used ({error})", where=str(root), hint=INSTALL_HINT
        ) from None
    if version.layout != LAYOUT:
        raise EmulatorMissing(
            "the Bochs root was made by another version of zpp-image",
            where=str(root),
            hint=INSTALL_HINT,
        )
    for name in _REQUIRED:
        if not (root / name).exists():
            raise EmulatorMissing(f"{name} is missing", where=str(root), hint=INSTALL_HINT)
    return BochsInstall(root, version)


def check_library(bochs: BochsInstall) -> None:
    """Run Bochs with the library that fixes it; raises EmulatorFailed if that has no effect."""
    command = bochs.command("--help", "cpu")
    environment = {**os.environ, **bochs.environment(), "ZPP_BOCHS_FIX_TEST": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False,
        errors="replace", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    if done.returncode != 0 or _FIX_LINE not in lines or _FIX_TESTED not in lines:
        raise EmulatorFailed(
            f"the library that fixes Bochs has no effect (exit status {done.returncode})",
            where=str(bochs.root),
            hint="this version of Bochs may need another library: see ovmf/README.md"
            if bochs.version.sources == sources_digest()
            else "bring it up to date with `zpp-image bochs install`",
            details=(" ".join(command), *lines[-10:]),
        )


def install(
    root: Path,
    *,
    mirror: str = "",
    force: bool = False,
    progress: Progress = lambda _line: None,
) -> BochsInstall:
    """Install Bochs at `root`, or bring it up to date; it is checked.

    `mirror` is a Debian mirror's URI, by default apt's own; `progress` gets a line for each step.
    Raises UsageError, MissingError, OutputError, EmulatorFailed.
    """
    _refuse_foreign(root)
    if platform.machine() != "x86_64":
        raise MissingError("Bochs needs an x86-64 machine")
    root = root.absolute()
    with _locked(root):
        present = None if force else _present(root)
        if present and present.version.sources == sources_digest():
            check_library(present)
            progress(f"already installed: {present.version.summary}")
            return present
        with _scratch_beside(root) as scratch:
            if present:
                progress("rebuilding the library that fixes Bochs: its source has changed")
                return _renew(present, scratch)
            new = scratch / "root"
            progress(f"unpacking {', '.join(PACKAGES)} of Debian {SUITE}")
            mmdebstrap.unpack(PACKAGES, SUITE, new, scratch, mirror)
            progress("building the library that fixes Bochs")
            bochs = _finish(new, scratch)
            check_library(bochs)
            if root.exists():
                root.rename(scratch / "old")
            new.rename(root)
    return BochsInstall(root, bochs.version)


def remove(root: Path) -> bool:
    """Remove the installation at `root`; False if there is none.

    Raises UsageError if something else is there, OutputError.
    """
    if not root.is_symlink() and not root.exists():
        return False
    _refuse_foreign(root)
    root = root.absolute()
    with _locked(root), _scratch_beside(root) as scratch:
        if (root / MARKER).exists():
            root.rename(scratch / "removed")
        else:
            root.rmdir()
    return True


def _refuse_foreign(root: Path) -> None:
    """Raise UsageError unless there is nothing at `root`, or what zpp-image put there."""
    what = ""
    if root.is_symlink():
        what = "is a symbolic link"
    elif root.exists() and not root.is_dir():
        what = "is not a directory"
    elif root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
        what = "is not empty, and zpp-image did not make it"
    if what:
        raise UsageError(what, where=str(root), hint="choose another directory with --bochs-root")


def _present(root: Path) -> BochsInstall | None:
    try:
        present = find(root)
    except EmulatorMissing:
        return None
    return present if present.version.packages.keys() >= set(_VERSIONED) else None


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Only one installation at a time; others wait."""
    lock = root.with_name(f".{root.name}.lock")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", where=str(root.parent)) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _scratch_beside(root: Path) -> Iterator[Path]:
    """A folder in the same file system; those of killed installations are removed."""
    prefix = f".{root.name}.partial-"
    for stale in root.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(
            prefix=prefix, dir=root.parent, ignore_cleanup_errors=True
        ) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=str(root.parent)
        ) from error


def _finish(new: Path, scratch: Path) -> BochsInstall:
    """Remove files that no run reads, add the project's own parts, and mark the root."""
    versions = {name: _package_version(new, name) for name in _VERSIONED}
    for name in _PRUNED:
        shutil.rmtree(new / name, ignore_errors=True)
    _add_plugins(new)
    return _add_own_parts(new, scratch, versions)


def _renew(bochs: BochsInstall, scratch: Path) -> BochsInstall:
    """Rebuild the project's own parts; the packages stay."""
    (scratch / "root").mkdir()
    new = _add_own_parts(scratch / "root", scratch, bochs.version.packages)
    for name in (_FIX, _DIVIDE):
        (new.root / name).replace(bochs.root / name)
    check_library(bochs)
    (new.root / MARKER).replace(bochs.root / MARKER)
    return BochsInstall(bochs.root, new.version)


def _add_own_parts(root: Path, scratch: Path, packages: Mapping[str, str]) -> BochsInstall:
    (root / "zpp").mkdir(exist_ok=True)
    make_parts(scratch)
    for name in (_FIX, _DIVIDE):
        (scratch / Path(name).name).replace(root / name)
    version = BochsVersion(LAYOUT, SUITE, packages, sources_digest())
    (root / MARKER).write_text(json.dumps(asdict(version), indent=2) + "\n", encoding="utf-8")
    return BochsInstall(root, version)


def _add_plugins(root: Path) -> None:
    folder = root / _PLUGINS
    folder.mkdir(parents=True)
    for plugin in sorted((root / LIBRARIES / "bochs/plugins").glob("libbx_*.so")):
        if not _UNUSED_PLUGINS.match(plugin.name):
            (folder / plugin.name).symlink_to(Path("../..") / plugin.relative_to(root))


def _package_version(root: Path, package: str) -> str:
    changelog = root / f"usr/share/doc/{package}/changelog.Debian.gz"
    try:
        with gzip.open(changelog, "rt", encoding="utf-8") as lines:
            first = lines.readline()
    except OSError:
        raise MissingError(f"the package {package} was not unpacked", where=str(root)) from None
    match = re.match(r"\S+ \(([^)]+)\)", first)
    return match[1] if match else "unknown"
