"""zpp on a machine's own ESP: what is refused, before and after the first change."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_machine import GLOBAL, SECURITY, OwnMachine, make_machine
from secure_lab import HASHES, X509, SecureLab, signature_list, uefi_digest

from efi_image.cli.main import main
from efi_image.devices.efivars import Efivars, Variable
from efi_image.errors import OutputError


@pytest.fixture
def own(tmp_path: Path, build_dir: Path) -> OwnMachine:
    return make_machine(tmp_path / "machine", build_dir)


# ---- the place


@pytest.mark.parametrize(
    ("filesystem", "words", "code", "message"),
    [
        ("ext4", {}, 9, "is ext4, not FAT; give the mount point of the EFI system partition"),
        ("autofs", {}, 9, "is autofs, not FAT"),
        ("vfat", {"root": "/EFI"}, 9, "is the directory /EFI of a volume, not its root"),
        ("vfat", {"number": "8:0"}, 9, "is on /dev/sda, which is not a partition of a disk"),
        ("vfat", {"number": "9:9"}, 9, "is on device 9:9, which is not a partition of a disk"),
        ("vfat", {"number": "8:2"}, 9, "is a partition of the type 'Linux', not an EFI system"),
        ("vfat", {"options": "ro,relatime"}, 4, "is mounted read-only; mount -o remount,rw"),
    ],
)
def test_what_is_not_an_esp(
    filesystem: str, words: dict[str, str], code: int, message: str, own: OwnMachine
) -> None:
    own.describe_mount(filesystem, **words)
    own.refuses(code, message)


def test_places_that_are_not_mounted(own: OwnMachine) -> None:
    own.refuses(9, "is not a mount point", own.esp / "EFI")
    own.refuses(3, "cannot be opened: No such file or directory", own.esp / "none")
    own.refuses(3, "cannot be opened: Not a directory", own.esp / "EFI/BOOT/BOOTX64.EFI")


def test_a_system_without_proc(own: OwnMachine) -> None:
    shutil.rmtree(own.root / "proc")
    own.refuses(6, "this system does not show what is mounted")


def test_a_mount_that_hides_another(own: OwnMachine) -> None:
    """As systemd's automount and the ESP below it."""
    own.describe_mount()
    table = own.root / "proc/self/mountinfo"
    table.write_text(f"29 20 0:40 / {own.esp} rw - autofs systemd-1 rw\n" + table.read_text())
    assert own.install().device == "/dev/sda1"


def test_a_mount_point_with_a_blank(tmp_path: Path, build_dir: Path) -> None:
    own = make_machine(tmp_path / "a machine", build_dir)
    assert own.install().esp == str(own.esp)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (("--table", "mbr"), "sda has no GPT"),
        (("--table", "none"), "sda has no GPT"),
        (("--table", "gpt"), "the GPT of"),
    ],
)
def test_disks_without_that_partition(
    table: tuple[str, ...], message: str, tmp_path: Path, build_dir: Path
) -> None:
    own = make_machine(tmp_path / "machine", build_dir, *table)
    if "gpt" in table:  # it has only one partition
        own.describe_mount(number="8:2")
    own.refuses(9, message)


def test_a_disk_with_large_sectors(tmp_path: Path, build_dir: Path) -> None:
    words = ("--sector-size", "4096", "--size", "400M", "--partition-guid",
             "11111111-2222-3333-4444-555555555555")  # fmt: skip
    own = make_machine(tmp_path / "machine", build_dir, *words)
    own.install()
    option = own.option(1)
    assert option is not None
    # number and first sector, at 1 MiB
    assert option.devicepath[0].data[:12] == b"\1\0\0\0" + (256).to_bytes(8, "little")


def test_a_user_who_is_not_root(own: OwnMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    own.refuses(4, "is write-protected; run as root")

    def closed(_path: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "listdir", closed)
    own.refuses(4, "cannot be read; run as root")


# ---- the machine


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_without_the_firmwares_variables(command: str, own: OwnMachine) -> None:
    shutil.rmtree(own.efivars)
    if command == "install":
        own.refuses(6, "the firmware's variables are not there; boot this system with UEFI")
    else:
        with pytest.raises(Exception, match="variables are not there"):
            own.uninstall()


def test_32_bit_firmware(own: OwnMachine) -> None:
    (own.root / "sys/firmware/efi/fw_platform_size").write_text("32\n")
    own.refuses(9, "32-bit UEFI")


def test_an_esp_that_is_almost_full(own: OwnMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(own.esp)
    size = sum((own.build / name).stat().st_size for name in ("ZppBoot.efi", "ZppDxe.efi"))

    def room(clusters: int) -> None:
        fields = list(real)
        fields[1], fields[4] = 512, clusters
        monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(fields))

    room(size // 512)
    own.refuses(5, "free, zpp needs")
    room(size // 512 + 8)  # zpp.conf, two records, two directories
    own.install()
    room(0)
    own.install()  # there is nothing to write


@pytest.mark.parametrize("name", ["ZppBoot.efi", "ZppDxe.efi"])
def test_programs_that_uefi_would_not_load(name: str, own: OwnMachine) -> None:
    (own.build / name).write_bytes(b"MZ" + bytes(1000))
    own.refuses(3, name)
    (own.build / name).unlink()
    own.refuses(3, "does not exist; run `make`")


# ---- Secure Boot


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> SecureLab:
    return SecureLab(tmp_path_factory.mktemp("keys"))


def secure(own: OwnMachine, db: bytes, dbx: bytes = b"") -> None:
    own.set("SecureBoot", b"\1", attributes=6)
    own.set("db", db, SECURITY, 0x27)
    if dbx:
        own.set("dbx", dbx, SECURITY, 0x27)


def sign(own: OwnMachine, lab: SecureLab, *names: str) -> None:
    for name in names:
        file = own.build / name
        file.write_bytes(lab.sbsign(file.read_bytes(), lab.key("owner")))


def test_secure_boot_and_unsigned_programs(own: OwnMachine, lab: SecureLab) -> None:
    secure(own, signature_list(X509, lab.key("owner").der))
    own.refuses(9, "ZppDxe.efi: Secure Boot is on and would refuse it: a program is not signed")
    sign(own, lab, "ZppDxe.efi")
    own.refuses(9, "ZppBoot.efi: Secure Boot is on and would refuse it: a program is not signed")


def test_secure_boot_and_another_key(own: OwnMachine, lab: SecureLab) -> None:
    secure(own, signature_list(X509, lab.key("vendor").der))
    sign(own, lab, "ZppBoot.efi", "ZppDxe.efi")
    own.refuses(9, "is signed by CN=owner; sign it with a key that the firmware's db has")


def test_secure_boot_and_a_revoked_program(own: OwnMachine, lab: SecureLab) -> None:
    data = (own.build / "ZppDxe.efi").read_bytes()
    hashes = signature_list(HASHES["sha256"], uefi_digest(data))
    secure(own, signature_list(X509, lab.key("owner").der), hashes)
    own.refuses(9, "is in dbx")


def test_secure_boot_without_a_db(own: OwnMachine) -> None:
    own.set("SecureBoot", b"\1", attributes=6)
    own.refuses(9, "Secure Boot is on and would refuse it")


def test_secure_boot_and_programs_that_it_starts(own: OwnMachine, lab: SecureLab) -> None:
    secure(own, signature_list(X509, lab.key("owner").der))
    sign(own, lab, "ZppBoot.efi", "ZppDxe.efi")
    assert own.install().option == "Boot0001"


def test_programs_that_db_has_by_their_hash(own: OwnMachine) -> None:
    both = [(own.build / name).read_bytes() for name in ("ZppBoot.efi", "ZppDxe.efi")]
    secure(own, signature_list(HASHES["sha256"], *map(uefi_digest, both)))
    assert own.install().option == "Boot0001"


def test_secure_boot_that_is_off(own: OwnMachine, lab: SecureLab) -> None:
    secure(own, signature_list(X509, lab.key("vendor").der))
    own.set("SecureBoot", b"\0", attributes=6)
    assert own.install().option == "Boot0001"


# ---- what fails after the first change


class Failing:
    """os.write, which fails with an error for a file whose path contains a text."""

    def __init__(self, text: str, number: int) -> None:
        self.text, self.number = text, number
        self._write: Callable[[int, Any], int] = os.write

    def __call__(self, descriptor: int, data: Any) -> int:
        if self.text in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(self.number, os.strerror(self.number))
        return self._write(descriptor, data)


@pytest.mark.parametrize("is_update", [False, True])
@pytest.mark.parametrize(
    ("text", "number", "code", "message"),
    [
        ("Boot0001", errno.ENOSPC, 4, "Boot0001-8be4df61-93ca-11d2-aa0d-00e098032b8c: cannot be"
         " written: the firmware's variable store is full; delete boot options"),
        ("BootOrder", errno.ENOSPC, 4, "the firmware's variable store is full"),
        ("BootOrder", errno.EPERM, 4, "Operation not permitted; run as root"),
        ("BootOrder", errno.EIO, 4, "Input/output error"),
        ("ZppBoot.efi", errno.ENOSPC, 5, "ZppBoot.efi: cannot be written: the ESP is full"),
        ("zpp.conf", errno.EIO, 4, "zpp.conf: cannot be written: Input/output error"),
        ("install.json", errno.ENOSPC, 5, "install.json: cannot be written: the ESP is full"),
    ],
)  # fmt: skip
def test_a_failure_leaves_the_machine_as_it_was(
    text: str, number: int, code: int, message: str, is_update: bool, own: OwnMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if is_update:
        own.install()
        for path in own.efivars.glob("Boot0001*"):
            path.unlink()  # as some firmware does
        own.set_order(2, 0)
        for name in ("ZppBoot.efi", "ZppDxe.efi"):
            file = own.build / name
            file.write_bytes(file.read_bytes()[:-16] + b"the next version")
        (own.zpp / "zpp.conf").unlink()
    monkeypatch.setattr(os, "write", Failing(text, number))
    own.refuses(code, message)
    assert own.zpp.exists() is is_update


def test_an_interrupted_install_is_undone(own: OwnMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = own.snapshot()

    def interrupted(self: Efivars, order: list[int]) -> None:
        monkeypatch.undo()
        self.set_boot_order(order)
        raise KeyboardInterrupt

    monkeypatch.setattr(Efivars, "set_boot_order", interrupted)
    with pytest.raises(KeyboardInterrupt):
        own.install()
    assert own.snapshot() == before
    assert not own.zpp.exists()


def test_uninstall_on_a_full_store_changes_nothing(
    own: OwnMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.install()
    before = own.snapshot()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", Failing("BootOrder", errno.ENOSPC))
        with pytest.raises(OutputError, match="store is full"):
            own.uninstall()
    assert own.snapshot() == before


# ---- the immutable flag


@pytest.fixture
def variables(tmp_path: Path) -> Efivars:
    return Efivars(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets the flag")
def test_immutable_variables(variables: Efivars) -> None:
    """On a real file system with the flag, by chattr."""
    path = variables.folder / f"Boot0001-{GLOBAL}"
    path.write_bytes(b"\7\0\0\0old")
    if subprocess.run(["chattr", "+i", path], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no such flag")
    with pytest.raises(PermissionError):
        path.write_bytes(b"")
    variables.write("Boot0001", Variable(7, b"x"))
    listed = subprocess.run(["lsattr", path], check=True, capture_output=True, text=True).stdout
    assert "i" in listed.split()[0]
    assert path.read_bytes() == b"\7\0\0\0x"
    variables.remove("Boot0001")
    assert not path.exists()


def test_the_flag_comes_back_after_a_failure(
    variables: Efivars, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = variables.folder / f"BootOrder-{GLOBAL}"
    path.write_bytes(b"\7\0\0\0\1\0")
    flags = {"value": 0x10 | 0x80000}
    calls: list[int] = []

    def ioctl(_descriptor: int, request: int, data: bytes) -> bytes:
        if request & 0xFF == 1:  # FS_IOC_GETFLAGS
            return flags["value"].to_bytes(8, "little")
        flags["value"] = int.from_bytes(data[:4], "little")
        calls.append(flags["value"])
        return data

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(os, "write", Failing("BootOrder", errno.ENOSPC))
    with pytest.raises(OutputError):
        variables.set_boot_order([3, 1])
    assert calls == [0x80000, 0x80010]
    assert path.read_bytes() == b"\7\0\0\0\1\0"


def test_a_new_variable_that_cannot_be_written_is_not_there(
    variables: Efivars, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", Failing("Boot0001", errno.ENOSPC))
    with pytest.raises(OutputError):
        variables.write("Boot0001", Variable(7, b"x"))
    assert list(variables.folder.iterdir()) == []


# ---- the commands


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_error_of_a_command(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--esp", str(tmp_path / "none")]) == 3
    line = f"zpp-image: {tmp_path}/none: cannot be opened: No such file or directory\n"
    assert capsys.readouterr().err == line
    assert main([command]) == 2
    assert "Missing option '--esp'" in capsys.readouterr().err
