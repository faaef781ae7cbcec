"""Runs out/environment/linux_load.sh from this machine against an sshd in a virtual machine, which
answers at a port that `run --forward` opens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cpio
import pytest
from harness import CMDLINE, EPYC, Harness, free_port, qemu_pc
from test_linux_loader import ALREADY_RUNNING

from efi_image.emulator import Devices, EmulatorKind, Forward, TextViewer, boot, choose
from efi_image.errors import ZppError

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = 'it\'s a "secret" & long'
PASSWD = "root:x:0:0::/root:/bin/sh\nsshd:x:74:74::/run/sshd:/bin/sh\n"
SERVER_STARTS, SERVER_RUNS = 90.0, 180.0  # seconds; 10 and 20 on an idle machine
PC = qemu_pc(EPYC, 2)


def command(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, **environ}, timeout=120,
    )  # fmt: skip


@dataclass(frozen=True)
class Access:
    """The keys, password and port that both sides need."""

    folder: Path
    port: int

    @staticmethod
    def make(folder: Path) -> Access:
        access = Access(folder, free_port())
        for name in ("host_key", "user_key"):
            command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        host_key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{access.port} {host_key}")
        access.configure(key=False)
        return access

    def configure(self, *, key: bool) -> None:
        """Writes the configuration for ssh, instead of the user's own."""
        lines = [f"UserKnownHostsFile {self.folder}/known_hosts", "GlobalKnownHostsFile /dev/null"]
        lines += [f"IdentityFile {self.folder}/user_key"] if key else ["PubkeyAuthentication no"]
        (self.folder / "ssh_config").write_text(
            "".join(f"{line}\n" for line in [*lines, "IdentitiesOnly yes", "IdentityAgent none"])
        )

    def files(self) -> bytes:
        """The keys and passwords in the guest's initramfs."""
        hashed = command("openssl", "passwd", "-6", "-salt", "zpp", PASSWORD).stdout.strip()
        return cpio.archive(
            [
                cpio.file("etc/passwd", PASSWD.encode()),
                cpio.file("etc/group", b"root:x:0:\n"),
                cpio.file("etc/shadow", f"root:{hashed}:1::::::\nsshd:*:1::::::\n".encode(), 0o600),
                cpio.file("etc/ssh/host_key", (self.folder / "host_key").read_bytes(), 0o600),
                cpio.file(
                    "root/.ssh/authorized_keys", (self.folder / "user_key.pub").read_bytes(), 0o600
                ),
            ]
        )  # fmt: skip

    def ssh(self, words: str) -> subprocess.CompletedProcess[str]:
        options = ("-F", str(self.folder / "ssh_config"), "-i", str(self.folder / "user_key"),
                   "-o", "PubkeyAuthentication=yes", "-p", str(self.port))  # fmt: skip
        return command("ssh", *options, "root@127.0.0.1", words)


@contextmanager
def server(harness: Harness, access: Access, words: str = "") -> Iterator[None]:
    """The virtual machine, from the start of sshd to the power-off."""
    guest = harness.build_directory / "linux-loader/oldest"
    initrd = harness.folder / "initrd.img"
    initrd.write_bytes((guest / "initrd-sshd.img").read_bytes() + access.files())
    cmdline = f"{CMDLINE} {words}".strip()
    image = harness.image(
        kernel=guest / "vmlinuz", initrd=initrd, cmdline=cmdline, hypervisor=False
    )
    devices = Devices(network=True, forwards=(Forward(access.port, 22),))
    request = replace(harness.request(PC, image), devices=devices, timeout=SERVER_RUNS)
    request = harness.with_defaults(request)
    listens, text, failures = threading.Event(), [], []

    def terminal(chunk: str) -> None:
        text.append(chunk)
        if "zpp-guest: sshd listens" in "".join(text):
            listens.set()

    def work() -> None:
        try:
            boot(request, choose(EmulatorKind.QEMU), TextViewer(terminal)).require()
        except ZppError as error:
            failures.append(error)
            listens.set()

    machine = threading.Thread(target=work)
    machine.start()
    try:
        assert listens.wait(SERVER_STARTS), f"sshd did not start:\n{''.join(text)[-2000:]}"
        assert failures == []
        yield
    finally:
        off = access.ssh("poweroff -f")
        machine.join()
    assert failures == [], off.stderr


@dataclass(frozen=True)
class Checkout:
    """A checkout that is configured for the virtual machine."""

    root: Path
    access: Access

    def run(self, *parameters: str) -> subprocess.CompletedProcess[str]:
        script = self.root / "out/environment/linux_load.sh"
        return command(str(script), *parameters, ZPP_SSH_CONFIG=f"{self.access.folder}/ssh_config")

    def use(self, module: Path) -> None:
        target = self.root / "out/release/x86_64/zpp.ko"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, target)

    def set(self, **settings: str) -> None:
        lines = [f"{name} := {value}\n" for name, value in settings.items()]
        (self.root / "environment.local").write_text("".join(lines))
        made = command(sys.executable, "-m", "efi_image.debug.scripts", PYTHONPATH=str(self.root))
        assert made.returncode == 0, made.stderr


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    root = tmp_path / "the checkout"
    root.mkdir()
    shutil.copytree(ROOT / "efi_image", root / "efi_image")
    for name in ("linux", "hypervisor"):
        (root / name).symlink_to(ROOT / name)
    shutil.copyfile(ROOT / "environment.config", root / "environment.config")
    for name in (
        "CONFIGURATION",
        "SSH_TARGET",
        "SSH_PORT",
        "SSH_PASSWORD",
        "SSHPASS",
        "PYTHONPATH",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    folder = tmp_path / "access"
    folder.mkdir()
    return Checkout(root, Access.make(folder))


def test_without_a_target(checkout: Checkout) -> None:
    checkout.set(SSH_PORT="22")
    done = checkout.run()
    assert done.returncode == 2
    assert done.stderr.startswith("linux_load: SSH_TARGET is empty\n")


def test_machine_that_does_not_answer(harness: Harness, checkout: Checkout) -> None:
    checkout.use(harness.build_directory / "linux-loader/oldest/zpp.ko")
    checkout.set(SSH_TARGET="root@127.0.0.1", SSH_PORT=str(checkout.access.port))
    done = checkout.run()
    assert done.returncode == 3
    assert "cannot log in to root@127.0.0.1" in done.stderr


def test_script_loads(harness: Harness, checkout: Checkout) -> None:
    access = checkout.access
    kernels = harness.build_directory / "linux-loader"
    target = {"SSH_TARGET": "root@127.0.0.1", "SSH_PORT": str(access.port)}
    checkout.use(kernels / "newest/zpp.ko")
    with server(harness, access):
        checkout.set(**target, SSH_PASSWORD="wrong")
        wrong = checkout.run()
        assert wrong.returncode == 3
        assert "cannot log in" in wrong.stderr

        access.configure(key=True)
        checkout.set(**target)
        other = checkout.run()
        assert other.returncode == 1
        assert "not loaded: zpp.ko is for another kernel" in other.stderr

        checkout.use(kernels / "oldest/zpp.ko")
        kept = checkout.run("keep=1")
        assert kept.returncode == 0, kept.stderr
        assert "virtualized with AMD-V" in kept.stdout
        assert access.ssh("rmmod zpp").returncode == 0

        loaded = checkout.run()
        assert loaded.returncode == 0, loaded.stderr
        # busybox's insmod then tries a second time
        assert loaded.stdout.splitlines()[-4:] == [
            f"zpp: loaded: the hypervisor runs on {PC.cpus} CPUs",
            "zpp: suspend to RAM and hibernation end the hypervisor "
            "(use keep=1 to have it again after the wake-up)",
            "zpp: the hypervisor stays, the module does not: "
            '"Operation not permitted" means success',
            f"zpp: {ALREADY_RUNNING}",
        ]
        assert "zpp" not in access.ssh("cat /proc/modules").stdout.split()
        assert access.ssh("ls /tmp").stdout == ""

        again = checkout.run()
        assert again.returncode == 1
        assert again.stderr == f"linux_load: {ALREADY_RUNNING}\n"


def test_password_and_lockdown(harness: Harness, checkout: Checkout) -> None:
    access = checkout.access
    checkout.use(harness.build_directory / "linux-loader/oldest/zpp.ko")
    checkout.set(SSH_TARGET="root@127.0.0.1", SSH_PORT=str(access.port), SSH_PASSWORD=PASSWORD)
    with server(harness, access, "lockdown=integrity"):
        done = checkout.run()
        assert done.returncode == 1
        assert "the kernel is locked down (Secure Boot)" in done.stderr
