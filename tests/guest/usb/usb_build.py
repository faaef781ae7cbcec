#!/usr/bin/env python3
"""Builds the Linux guest that writes USB sticks: Debian's kernel with its USB drivers.

``fetch`` downloads the kernel's package and extracts the kernel and the required modules. ``build``
packs an initramfs that loads them and continues in the build machine's own file system, which QEMU
shares read-only: the guest uses the Python that runs the tests. This script uses only the standard
library, because it runs before the Python environment exists.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "linux"))

import build as linux  # noqa: E402
import cpio  # noqa: E402

META_PACKAGE = "linux-image-amd64"
# The modules to load, in this order, after their dependencies; some kernels have them built in.
MODULES = (
    "virtio_pci 9pnet_virtio 9p crct10dif_generic crc64_rocksoft_generic sd_mod"
    " xhci-pci usb-storage uas nls_cp437 nls_ascii vfat"
).split()
# sd_mod asks for these checksums by name; newer kernels have them in a library.
NOT_IN_EVERY_KERNEL = ("crct10dif_generic", "crc64_rocksoft_generic")
FILES = ("vmlinuz", "modules.tar", "package")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("fetch", "build"))
    parser.add_argument("--cache", type=Path, required=True, help="folder for downloads")
    parser.add_argument("--busybox", type=Path, help="build: a static busybox")
    parser.add_argument("--out", type=Path, help="build: folder for vmlinuz and initrd.img")
    arguments = parser.parse_args()
    try:
        if arguments.step == "fetch":
            fetch(arguments.cache)
        elif arguments.out is None or arguments.busybox is None:
            parser.error("build needs --busybox and --out")
        else:
            build(arguments.cache, arguments.busybox, arguments.out)
    except linux.GuestError as error:
        print(f"usb-guest: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(cache: Path) -> None:
    """Puts ``vmlinuz``, ``modules.tar`` and ``package`` (its version) in ``cache``."""
    cache.mkdir(parents=True, exist_ok=True)
    if all((cache / name).exists() for name in FILES):
        return
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        package = linux.download(linux.kernel_package(META_PACKAGE), Path(scratch))
        extract(package, cache)
        linux.replace(cache / "package", f"{package.name}\n".encode())


def extract(package: Path, cache: Path) -> None:
    """Extracts the kernel, and the modules in the order in which they are loaded."""
    found: dict[str, bytes] = {}
    built_in: set[str] = set()
    with (
        subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
        ) as unpacker,
        tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive,
    ):
        for member in archive:
            name = Path(member.name).name
            data = archive.extractfile(member) if member.isfile() else None
            if data is not None and name.startswith("vmlinuz-"):
                linux.replace(cache / "vmlinuz", data.read())
            elif data is not None and name == "modules.builtin":
                built_in = {module_name(line) for line in data.read().decode().splitlines()}
            elif data is not None and ".ko" in Path(name).suffixes:
                found[module_name(name)] = linux.unpacked_module(name, data.read())
    scratch = cache / "modules.tar.new"
    with tarfile.open(scratch, "w") as modules:
        for name in load_order(found, built_in):
            member = tarfile.TarInfo(f"{name}.ko")
            member.size = len(found[name])
            with tempfile.TemporaryFile() as file:
                file.write(found[name])
                file.seek(0)
                modules.addfile(member, file)
    scratch.replace(cache / "modules.tar")


def module_name(path: str) -> str:
    """The name that Linux lists, from a file such as ``kernel/drivers/usb/xhci-pci.ko.xz``."""
    return Path(path).name.partition(".")[0].replace("-", "_")


def load_order(modules: dict[str, bytes], built_in: set[str]) -> list[str]:
    """The required modules and their dependencies, each after its own dependencies."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or name in built_in:
            return
        if name not in modules:
            if name in NOT_IN_EVERY_KERNEL:
                return
            raise linux.GuestError(f"the kernel's package does not contain the module {name}")
        depends = re.search(rb"\0depends=([^\0]*)\0", modules[name])
        for other in depends[1].decode().split(",") if depends else []:
            if other:
                add(other.replace("-", "_"))
        order.append(name)

    for wanted in MODULES:
        add(wanted.replace("-", "_"))
    return order


def build(cache: Path, busybox: Path, out: Path) -> None:
    """Puts ``vmlinuz`` and ``initrd.img`` in ``out``."""
    for path in (*(cache / name for name in FILES), busybox):
        if not path.exists():
            raise linux.GuestError(f"{path} is missing: run `make setup`")
    out.mkdir(parents=True, exist_ok=True)
    entries = [
        *(cpio.directory(path) for path in ("bin", "dev", "proc", "sys", "modules", "host")),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", busybox.read_bytes()),
        cpio.symlink("bin/sh", "busybox"),
        cpio.file("init", (HERE / "init").read_bytes()),
    ]
    with tarfile.open(cache / "modules.tar") as modules:
        for number, member in enumerate(modules):
            data = modules.extractfile(member)
            assert data is not None
            entries.append(cpio.file(f"modules/{number:02}-{member.name}", data.read(), 0o644))
    linux.replace(out / "initrd.img", cpio.archive(entries))
    linux.replace(out / "vmlinuz", (cache / "vmlinuz").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
