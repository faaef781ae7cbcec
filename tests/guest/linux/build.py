#!/usr/bin/env python3
"""Builds the small Linux guest: Debian's cloud kernel and a busybox initramfs.

``fetch`` downloads the Debian packages and extracts the kernel and busybox; it installs nothing.
``build`` compiles the guest's own program and packs the initramfs. This script uses only the
standard library, because it runs before the Python environment exists.
"""

import argparse
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import cpio

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
META_PACKAGE = "linux-image-cloud-amd64"
BUSYBOX_PACKAGE = "busybox-static"
APPLETS = (
    "cat cttyhack dmesg echo grep kill ls mkdir mount nproc poweroff ps reboot setsid sh sleep"
).split()


class GuestError(Exception):
    """A step failed; the message is one line and may contain a hint."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("fetch", "build"))
    parser.add_argument("--cache", type=Path, required=True, help="folder for downloads")
    parser.add_argument("--out", type=Path, help="build: folder for vmlinuz and initrd.img")
    parser.add_argument("--toolchain", type=Path, default=Path("/usr/lib/llvm-19/bin"))
    arguments = parser.parse_args()
    try:
        if arguments.step == "fetch":
            fetch(arguments.cache)
        elif arguments.out is None:
            parser.error("build needs --out")
        else:
            build(arguments.cache, arguments.out, arguments.toolchain)
    except GuestError as error:
        print(f"linux-guest: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(cache: Path) -> None:
    """Puts ``vmlinuz``, ``busybox`` and ``packages`` (their versions) in ``cache``."""
    cache.mkdir(parents=True, exist_ok=True)
    if all((cache / name).exists() for name in ("vmlinuz", "busybox", "packages")):
        return
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        folder = Path(scratch)
        kernel = download(kernel_package(), folder)
        busybox = download(BUSYBOX_PACKAGE, folder)
        extract(kernel, lambda name: name.startswith("./boot/vmlinuz-"), cache / "vmlinuz")
        extract(
            busybox, lambda name: name in ("./bin/busybox", "./usr/bin/busybox"), cache / "busybox"
        )
        replace(cache / "packages", "".join(f"{p.name}\n" for p in (kernel, busybox)).encode())


def kernel_package(meta: str = META_PACKAGE) -> str:
    """The package that the meta package of the machine's Debian depends on."""
    name = depends_on_kernel(meta)
    if name is None:
        update_package_lists()
        name = depends_on_kernel(meta)
    if name is None:
        raise GuestError(f"apt does not find {meta}; configure a Debian mirror for apt")
    return name


def depends_on_kernel(meta: str) -> str | None:
    result = subprocess.run(
        ["apt-cache", "depends", "--important", meta],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in result.stdout.splitlines():
        relation, _, package = line.strip().partition(": ")
        if relation == "Depends" and package.startswith("linux-image-"):
            return package
    return None


def update_package_lists() -> None:
    print("linux-guest: updating apt's package lists", flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*root, "apt-get", "update", "-qq"], stdin=subprocess.DEVNULL, check=False)


def download(package: str, folder: Path) -> Path:
    """Downloads a package; apt checks it against the signed package lists."""
    print(f"linux-guest: downloading {package}", flush=True)
    before = set(folder.iterdir())
    result = subprocess.run(
        ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    new = set(folder.iterdir()) - before
    if result.returncode != 0 or len(new) != 1:
        reason = (result.stderr.strip().splitlines() or ["apt-get downloaded no file"])[-1]
        raise GuestError(f"apt-get download {package}: {reason} (try 'apt-get update' first)")
    return new.pop()


def extract(package: Path, wanted: Callable[[str], bool], target: Path) -> None:
    """Extracts the first file with a wanted name from a .deb."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    data = archive.extractfile(member) if wanted(member.name) else None
                    if data is not None:
                        replace(target, data.read())
                        return
        except tarfile.TarError as error:
            raise GuestError(f"{package.name} cannot be unpacked: {error}") from error
        finally:
            unpacker.kill()
    raise GuestError(f"{package.name} does not contain {target.name}")


def unpacked_module(name: str, data: bytes) -> bytes:
    """The content of a kernel module's file; Debian 13 compresses them."""
    return lzma.decompress(data) if name.endswith(".xz") else data


def replace(target: Path, data: bytes) -> None:
    """Writes the file atomically."""
    scratch = target.with_name(target.name + ".new")
    scratch.write_bytes(data)
    scratch.replace(target)


def build(cache: Path, out: Path, toolchain: Path) -> None:
    """Puts ``vmlinuz`` and ``initrd.img`` in ``out``."""
    for name in ("vmlinuz", "busybox"):
        if not (cache / name).exists():
            raise GuestError(f"{cache / name} is missing: run `make setup`")
    out.mkdir(parents=True, exist_ok=True)
    program = compile_program(out, toolchain)
    replace(out / "initrd.img", cpio.archive(initramfs((cache / "busybox").read_bytes(), program)))
    scratch = out / "vmlinuz.new"
    shutil.copyfile(cache / "vmlinuz", scratch)
    scratch.replace(out / "vmlinuz")


def compile_program(out: Path, toolchain: Path) -> bytes:
    target = out / "zpp-guest"
    command = [
        str(toolchain / "clang"),
        "--target=x86_64-linux-gnu",
        *"-std=c17 -O2 -Wall -Wextra -Werror -ffreestanding -fno-stack-protector".split(),
        *"-fno-pic -static -nostdlib -Wl,--build-id=none -Wl,-s".split(),
        f"--ld-path={toolchain / 'ld.lld'}",
        f"-I{REPOSITORY / 'hypervisor/include'}",
        *(str(source) for source in sorted((HERE / "program").glob("*.c"))),
        "-o",
        str(target),
    ]
    try:
        result = subprocess.run(command, check=False)
    except FileNotFoundError as error:
        raise GuestError(
            f"{error.filename} is missing: run `make setup`, or set TOOLCHAIN"
        ) from error
    if result.returncode != 0:
        raise GuestError("tests/guest/linux/program does not compile")
    return target.read_bytes()


def initramfs(busybox: bytes, program: bytes) -> list[cpio.Entry]:
    return [
        *(cpio.directory(path) for path in ("bin", "dev", "proc", "sys")),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", busybox),
        *(cpio.symlink(f"bin/{applet}", "busybox") for applet in APPLETS),
        cpio.file("bin/zpp-guest", program),
        cpio.file("init", (HERE / "init").read_bytes()),
    ]


if __name__ == "__main__":
    sys.exit(main())
