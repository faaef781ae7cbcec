#!/usr/bin/env python3
"""Debian's kernels for the tests of zpp.ko: image, headers and the matching compiler.

``fetch`` unpacks the packages of each kernel into its own root folder in the cache; it installs
nothing. ``guest`` builds zpp.ko there and packs the initramfs that loads it. ``matrix`` builds
zpp.ko against every header package of Debian's suites. ``list`` names the kernels. This script
uses only the standard library, because it runs before the Python environment exists.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import build
import cpio

sys.path.insert(0, str(build.REPOSITORY))

from efi_image.emulator.debian import apt
from efi_image.errors import ZppError

# for the build; Debian's kernel packages do not depend on all of them
TOOLS = "base-files,bash,dash,coreutils,sed,grep,mawk,findutils,make,binutils"
EVERY_HEADERS = "?name(^linux-headers-[0-9].*-amd64$)"
PRUNED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info", "var/lib/apt",
          "var/cache", "usr/lib/python3")  # fmt: skip
MODULES = ("irqbypass", "kvm", "kvm-amd", "kvm-intel", "button", "efivarfs")
VIRTIO_MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev",
                  "virtio_pci")  # fmt: skip
NETWORK_MODULES = (*VIRTIO_MODULES, "failover", "net_failover", "virtio_net")
DISK_MODULES = (*VIRTIO_MODULES, "virtio_blk")  # newer kernels have some built in
APPLETS = (
    "cat dd dmesg echo grep insmod ip kill ls mkdir mktemp mount nproc poweroff reboot rm rmmod "
    "sed sh sleep swapon sync tail tee uname"
).split()


@dataclass(frozen=True)
class Suite:
    """A suite of Debian; with `backports` those are preferred."""

    name: str
    security: bool = False
    backports: bool = False

    @property
    def lines(self) -> list[str]:
        mirror = apt.debian_mirror()
        lines = [f"deb {mirror} {self.name} main"]
        if self.security:
            lines.append(f"deb {mirror}-security {self.name}-security main")
        if self.backports:
            lines.append(f"deb {mirror} {self.name}-backports main")
        return lines


@dataclass(frozen=True)
class Kernel:
    """A suite's newest kernel, and more packages; or one of its older releases, of which Debian
    keeps the image alone."""

    suite: Suite
    release: str = ""
    more: tuple[str, ...] = ()


# The kernels that `make test` boots: the oldest that Debian still supports, and the newest that it
# offers for a release.
KERNELS = {
    "oldest": Kernel(Suite("bookworm", security=True), more=("openssh-server",)),
    "newest": Kernel(Suite("trixie", backports=True)),
}
# Those that `make kernel-boots` boots as well: of the other suites, and of a long-term series.
MORE_KERNELS = {
    "bullseye": Kernel(Suite("bullseye")),
    "bookworm-backports": Kernel(Suite("bookworm", backports=True)),
    "trixie": Kernel(Suite("trixie", security=True)),
    "6.18": Kernel(Suite("trixie", backports=True), "6.18.15+deb13"),
    "forky": Kernel(Suite("forky")),
    "sid": Kernel(Suite("sid")),
}
KERNELS_BY_NAME = {**KERNELS, **MORE_KERNELS}
MATRIX = (
    Suite("bullseye"),
    Suite("bookworm", security=True),
    Suite("bookworm", backports=True),
    Suite("trixie", security=True),
    Suite("trixie", backports=True),
    Suite("forky"),
    Suite("sid"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("fetch", "guest", "matrix", "list"))
    parser.add_argument("names", nargs="*", help="kernels, or for matrix suites (default: all)")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--out", type=Path, help="guest, matrix: folder of the build's results")
    parser.add_argument("--toolchain", type=Path, default=Path("/usr/lib/llvm-19/bin"))
    arguments = parser.parse_args()
    try:
        if arguments.step == "matrix":
            return matrix(arguments)
        if arguments.step == "list":
            print(*KERNELS, *MORE_KERNELS)
            return 0
        for name in arguments.names or KERNELS:
            if arguments.step == "fetch":
                fetch(name, arguments.cache / "kernels")
            else:
                guest(name, arguments)
    except (build.GuestError, ZppError) as error:
        print(f"kernels: {error}", file=sys.stderr)
        return 1
    return 0


# ---- roots


def fetch(name: str, cache: Path) -> None:
    """Unpacks the root of a kernel to ``cache/name``, atomically."""
    target = cache / name
    if target.exists():
        return
    kernel = KERNELS_BY_NAME[name]
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{name}.") as scratch:
        root = Path(scratch) / "root"
        print(f"kernels: unpacking the {name} kernel, of Debian {kernel.suite.name}", flush=True)
        if kernel.release:
            unpack(
                root, kernel.suite, "base-files", alone=f"linux-image-{kernel.release}-cloud-amd64"
            )
        else:
            meta = ("linux-headers-cloud-amd64", "linux-image-cloud-amd64")
            unpack(root, kernel.suite, TOOLS, *meta, *kernel.more)
        root.rename(target)


# a hook of mmdebstrap: unpacks one package of the suite
ALONE = (
    'cd "$1" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download -qq {0} && '
    "dpkg-deb --extract {0}_*.deb . && rm {0}_*.deb"
)


def unpack(root: Path, suite: Suite, *includes: str, alone: str = "") -> None:
    """Unpacks packages and their dependencies, without configuring them; `alone` is one whose
    dependencies are ignored."""
    options = [f"--aptopt={line}" for line in apt.network_options()]
    if suite.backports:
        options.append(f'--aptopt=APT::Default-Release "{suite.name}-backports"')
    command = [
        *("mmdebstrap", "--variant=extract", "--mode=chrootless", "--format=directory"),
        *(*options, *(f"--include={packages}" for packages in includes)),
        *((f"--extract-hook={ALONE.format(alone)}",) if alone else ()),
        *(suite.name, str(root), *suite.lines),
    ]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "TMPDIR": str(root.parent), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if result.returncode != 0:
        errors = [line for line in result.stderr.splitlines() if line.startswith("E:")]
        reason = (errors or ["mmdebstrap failed"])[0].removeprefix("E: ")
        raise build.GuestError(f"packages of Debian {suite.name} cannot be unpacked: {reason}")
    if not (root / "usr/bin/awk").exists():  # otherwise created by configuring mawk
        (root / "usr/bin/awk").symlink_to("mawk")
    for folder in PRUNED:
        shutil.rmtree(root / folder, ignore_errors=True)


def trees(root: Path) -> list[Path]:
    """The header trees of a root that can build modules, the newest last."""
    found = [path.parent for path in root.glob("usr/src/linux-headers-*/Module.symvers")]
    return sorted(found, key=lambda tree: [int(n) for n in re.findall(r"\d+", tree.name)])


def compile_zpp(root: Path, tree: Path, out: Path) -> str:
    """Builds zpp.ko in the root against one of its trees; returns the build's output."""
    stage = root / "zpp"
    shutil.rmtree(stage, ignore_errors=True)
    make = ["make", "-s", "-C", str(build.REPOSITORY / "linux"), "stage"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(
        [*make, f"STAGE={stage.absolute()}", f"OUT={out.absolute()}"], check=True, env=clean
    )
    return compile_module(root, tree, stage)


def compile_module(root: Path, tree: Path, stage: Path) -> str:
    """Builds the module of a folder in the root; returns the build's output."""
    for name in ("dev", "proc", "tmp"):
        (root / name).mkdir(exist_ok=True)
    script = (
        'trap \'umount "$0/dev" "$0/proc" 2>/dev/null\' EXIT; mount --make-rprivate / 2>/dev/null; '
        'for f in dev proc; do mount --"$4" /$f "$0/$f" || exit; done; chroot "$0" '
        '/usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin make -j"$2" -C "$1" M="$3" modules'
    )
    # in a chroot nothing can be made private, so root unmounts what it mounted
    is_root = os.geteuid() == 0
    user = ("--propagation", "unchanged") if is_root else ("--map-root-user",)
    bind = "bind" if is_root else "rbind"
    command = ["unshare", *user, "--mount", "sh", "-c", script, str(root.absolute()),
               f"/{tree.relative_to(root)}", str(os.cpu_count() or 1),
               f"/{stage.relative_to(root)}", bind]  # fmt: skip
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    if result.returncode != 0:
        tail = "\n  ".join(result.stdout.splitlines()[-15:])
        raise build.GuestError(f"{stage.name}.ko does not build against {tree.name}:\n  {tail}")
    return result.stdout


def warnings(output: str) -> list[str]:
    """The warnings in a build's output."""
    return [line for line in output.splitlines() if "warning:" in line.lower()]


# ---- guests


def guest(name: str, arguments: argparse.Namespace) -> None:
    """Puts ``vmlinuz``, ``initrd.img`` and ``zpp.ko`` in ``out/linux-loader/name``."""
    root = arguments.cache / "kernels" / name
    out = arguments.out / "linux-loader" / name
    out.mkdir(parents=True, exist_ok=True)
    release = KERNELS_BY_NAME[name].release
    if release:
        release += "-cloud-amd64"
        modules = []
    else:
        tree = trees(root)[-1]
        release = tree.name.removeprefix("linux-headers-")
        modules = own_modules(root, tree, out, arguments)
    program = build.compile_program(out, arguments.toolchain)
    busybox = (arguments.cache / "linux-guest/busybox").read_bytes()
    entries = initramfs(root, release, busybox, program) + modules
    initrd = cpio.archive(entries)
    build.replace(out / "initrd.img", initrd)
    kernel = kernel_image(root, release).read_bytes()
    again = (cpio.file("vmlinuz", kernel), cpio.file("initrd.img", initrd))
    build.replace(out / "initrd-kexec.img", cpio.archive([*entries, *again]))
    if (root / "usr/sbin/sshd").exists():
        build.replace(out / "initrd-sshd.img", cpio.archive(sshd_initramfs(root, release, busybox)))
    build.replace(out / "vmlinuz", kernel)
    print(f"linux-loader: {name} is {release}", flush=True)


def own_modules(
    root: Path, tree: Path, out: Path, arguments: argparse.Namespace
) -> list[cpio.Entry]:
    """Builds zpp.ko, also to `out`, and spoil.ko."""
    output = compile_zpp(root, tree, arguments.out) + compile_spoil(root, tree)
    if warnings(output):
        raise build.GuestError(f"{tree.name} warns: {warnings(output)[0]}")
    strip = [str(arguments.toolchain / "llvm-objcopy"), "--strip-debug"]
    subprocess.run([*strip, str(root / "zpp/zpp.ko"), str(out / "zpp.ko")], check=True)
    return [
        cpio.file("zpp.ko", (out / "zpp.ko").read_bytes()),
        cpio.file("spoil.ko", (root / "spoil/spoil.ko").read_bytes()),
    ]


def compile_spoil(root: Path, tree: Path) -> str:
    """Builds spoil.ko for the tests of failures."""
    stage = root / "spoil"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(build.HERE / "spoil", stage)
    return compile_module(root, tree, stage)


def kernel_image(root: Path, release: str) -> Path:
    for path in (root / f"boot/vmlinuz-{release}", root / f"usr/lib/modules/{release}/vmlinuz"):
        if path.exists():
            return path
    raise build.GuestError(f"{root} does not contain the kernel {release}")


def module_files(root: Path, release: str, name: str) -> list[Path]:
    pattern = f"lib/modules/{release}/kernel/**/{name}.ko*"
    return [*root.glob(pattern), *root.glob(f"usr/{pattern}")]


def kernel_module(root: Path, release: str, name: str) -> bytes:
    found = module_files(root, release, name)
    if not found:
        raise build.GuestError(f"{root} does not contain the module {name}")
    return build.unpacked_module(found[0].name, found[0].read_bytes())


def initramfs(root: Path, release: str, busybox: bytes, program: bytes) -> list[cpio.Entry]:
    disk = [name for name in DISK_MODULES if module_files(root, release, name)]
    return [
        *(cpio.directory(path) for path in ("bin", "dev", "proc", "sys", "tmp")),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", busybox),
        *(cpio.symlink(f"bin/{applet}", "busybox") for applet in APPLETS),
        cpio.file("bin/zpp-guest", program),
        cpio.file("init", (build.HERE / "init-loader").read_bytes()),
        *(
            cpio.file(f"{name}.ko", kernel_module(root, release, name))
            for name in (*MODULES, *disk)
        ),
    ]


SSHD = "usr/sbin/sshd"
SSHD_CONFIG = """\
HostKey /etc/ssh/host_key
PermitRootLogin yes
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
"""


def sshd_initramfs(root: Path, release: str, busybox: bytes) -> list[cpio.Entry]:
    """A guest with Debian's sshd; whoever boots it adds keys and passwords."""
    folders = ("bin", "dev", "etc", "etc/ssh", "lib", "lib/x86_64-linux-gnu", "lib64", "proc",
               "root", "root/.ssh", "run", "sys", "tmp", "usr", "usr/sbin", "var")  # fmt: skip
    return [
        *(cpio.directory(path) for path in folders),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", busybox),
        *(cpio.symlink(f"bin/{applet}", "busybox") for applet in (*APPLETS, "touch")),
        cpio.file(SSHD, (root / SSHD).read_bytes()),
        *(cpio.file(name, path.read_bytes()) for name, path in libraries(root, SSHD).items()),
        cpio.file("etc/ssh/sshd_config", SSHD_CONFIG.encode()),
        cpio.file("init", (build.HERE / "init-sshd").read_bytes()),
        *(cpio.file(f"{name}.ko", kernel_module(root, release, name)) for name in NETWORK_MODULES),
    ]


def libraries(root: Path, program: str) -> dict[str, Path]:
    """The shared libraries of a program in a root: path in the guest → file. The root's own dynamic
    linker lists them."""
    linker = "lib64/ld-linux-x86-64.so.2"
    folders = [root / "lib/x86_64-linux-gnu", root / "usr/lib/x86_64-linux-gnu"]
    found = {linker: root / linker}
    command = [str(root / linker), "--library-path", ":".join(map(str, folders)), "--list",
               str(root / program)]  # fmt: skip
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow and "/" not in name:
            found[f"lib/x86_64-linux-gnu/{name}"] = Path(path.rpartition(" (")[0])
    return found


# ---- all header packages


def matrix(arguments: argparse.Namespace) -> int:
    """Builds against every header package of the suites; prints each result. A suite that is no
    longer on the mirror is reported but does not fail."""
    known = {suite.name for suite in MATRIX}
    if unknown := set(arguments.names) - known:
        known_names = ", ".join(sorted(known))
        raise build.GuestError(f"unknown suite {min(unknown)}: use one of {known_names}")
    failed = 0
    for suite in MATRIX:
        if arguments.names and suite.name not in arguments.names:
            continue
        arguments.cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.cache, prefix=".matrix.") as scratch:
            root = Path(scratch) / "root"
            try:
                unpack(root, suite, TOOLS, EVERY_HEADERS)
            except build.GuestError as error:
                print(f"{label(suite)}: skipped: {error}", flush=True)
                continue
            failed += sum(not builds(suite, root, tree, arguments.out) for tree in trees(root))
    return 1 if failed else 0


def label(suite: Suite) -> str:
    parts = [suite.name, *(["security"] if suite.security else [])]
    return " ".join([*parts, *(["backports"] if suite.backports else [])])


def builds(suite: Suite, root: Path, tree: Path, out: Path) -> bool:
    name = tree.name.removeprefix("linux-headers-")
    try:
        found = warnings(compile_zpp(root, tree, out))
    except build.GuestError as error:
        print(f"{label(suite)}: {name}: FAILED: {error}", flush=True)
        return False
    print(f"{label(suite)}: {name}: {found[0] if found else 'builds'}", flush=True)
    return not found


if __name__ == "__main__":
    sys.exit(main())
