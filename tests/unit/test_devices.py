"""Which disks are safe targets: dozens of machines, and this one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from layouts import build, load, names

from efi_image import devices
from efi_image.cli.confirm import confirm
from efi_image.cli.main import main
from efi_image.devices import Bus, Device, Mount, Reason
from efi_image.devices.linux import LinuxDisks
from efi_image.devices.watch import Event, changes
from efi_image.errors import InputError, OutputError, UnsafeTarget
from efi_image.flash.device import refuse, unmount_confirmed


def listed(disks: devices.Disks) -> dict[str, Device]:
    return {device.name: device for device in disks.devices()}


@pytest.mark.parametrize("name", names())
def test_every_disk_of_a_layout_is_judged_right(name: str, tmp_path: Path) -> None:
    layout = load(name, tmp_path)
    found = listed(LinuxDisks(layout.system))
    assert layout.reasons
    for disk, reasons in layout.reasons.items():
        device = found.pop(disk)
        told = list(dict.fromkeys(refusal.reason.value for refusal in device.refusals))
        assert told == reasons, device
        assert device.safe == (not reasons)
        assert [mount.target for mount in device.unmount] == layout.unmounts.get(disk, [])
        texts = [refusal.text for refusal in device.refusals]
        for text in layout.says.get(disk, []):
            assert any(each.startswith(text) for each in texts), texts
    assert not set(layout.absent) & set(found)


def test_layouts_are_dozens() -> None:
    assert len(names()) >= 48


@pytest.mark.slow
def test_system_disks_cannot_be_forced(tmp_path: Path) -> None:
    for name in names():
        layout = load(name, tmp_path / name)
        for device in LinuxDisks(layout.system).devices():
            if device.safe or [r.reason for r in device.refusals] == [Reason.INTERNAL]:
                refuse(device, internal=True)
                continue
            with pytest.raises(UnsafeTarget):
                refuse(device, internal=True)


def test_only_what_was_confirmed_is_unmounted(tmp_path: Path) -> None:
    """Neither another disk's mounts in the same folders, nor more than was said."""
    text = "disk sdb bus=usb serial=A size=8G\npart sdb1 sdb\nmount /dev/sdb1 /mnt/none-such vfat"
    (before,) = LinuxDisks(build(text, tmp_path / "before").system).devices()
    more = Mount("/dev/sdb1", "/media/none-such", "vfat")
    for now, what in (
        (replace(before, serial="B"), "serial"),
        (replace(before, diskseq=99), "diskseq"),
        (replace(before, unmount=()), "use"),
        (replace(before, unmount=(*before.unmount, more)), "use"),
    ):
        with pytest.raises(UnsafeTarget, match=rf"\(its {what} differs\)"):
            unmount_confirmed(before, now)
    with pytest.raises(OutputError, match="/mnt/none-such: cannot be unmounted"):
        unmount_confirmed(before, before)


def test_a_serial_number_that_others_have_confirms_nothing(tmp_path: Path) -> None:
    found = listed(LinuxDisks(load("twins", tmp_path).system))
    keys = {name: device.key for name, device in found.items()}
    assert (keys["sdb"], keys["sdc"]) == ("/dev/sdb", "/dev/sdc")
    assert (found["sdb"].twin, found["sdc"].twin) == ("/dev/sdc", "/dev/sdb")
    assert keys["sdd"] == "20120926571200000"  # the reader's other slot is empty
    assert (keys["sdf"], found["sdf"].twin) == ("/dev/sdf", "")
    assert LinuxDisks(load("twins", tmp_path / "again").system).find_number("8:0", "x").twin


def test_what_confirms_for_scripts(tmp_path: Path) -> None:
    twin = listed(LinuxDisks(load("twins", tmp_path).system))["sdb"]
    plain = replace(twin, twin="")
    strange = replace(plain, serial="\x1b[2J")  # as it is, or as it is shown
    for device, key in (
        (plain, plain.serial), (twin, "/dev/sdb"), (replace(plain, serial=""), "/dev/sdb"),
        (strange, "\x1b[2J"), (strange, "\\x1b[2J"),
    ):  # fmt: skip
        confirm(device, "It is erased.", key, "--yes-erase")
    for device, key, what in (
        (plain, "other", "this one needs --yes-erase 0123456789AB"),
        (plain, "/dev/sdb", "this one needs --yes-erase 0123456789AB"),
        (twin, twin.serial, "has the same serial number as /dev/sdc; .* --yes-erase /dev/sdb"),
        (replace(plain, serial=""), "", "this one needs --yes-erase /dev/sdb"),
    ):
        with pytest.raises(UnsafeTarget, match=what):
            confirm(device, "It is erased.", key, "--yes-erase")


def test_large_sectors_are_refused(tmp_path: Path) -> None:
    """The boot data would not begin and end at them."""
    (device,) = LinuxDisks(
        build("disk sdb bus=usb size=8G sector=16384", tmp_path).system
    ).devices()
    assert not device.safe
    with pytest.raises(UnsafeTarget, match="has sectors of 16384 bytes"):
        refuse(device, internal=True)


@pytest.mark.parametrize(
    ("layout", "hint"),
    [
        ("disk sda bus=sata size=1T", "is an internal disk; if you mean this disk, add --internal"),
        ("disk sdb bus=usb size=8G\npart sdb1 sdb\nmount /dev/sdb1 /data ext4",
         "is mounted at /data; unmount it first: `umount /data`"),
    ],
)  # fmt: skip
def test_how_to_go_on_is_said(layout: str, hint: str, tmp_path: Path) -> None:
    (device,) = LinuxDisks(build(layout, tmp_path).system).devices()
    with pytest.raises(UnsafeTarget, match=hint):
        refuse(device)


def test_a_program_that_writes_is_seen(tmp_path: Path) -> None:
    """A virtual machine whose disk it is; one that only reads does no harm."""
    layout = build("disk sdb bus=usb size=8G\npart sdb1 sdb", tmp_path)
    for number, (name, flags) in enumerate((("smartd", "0104000"), ("qemu", "0140002")), 100):
        process = layout.system.proc / str(number)
        (process / "fd").mkdir(parents=True)
        (process / "fd/3").touch()  # one that was closed meanwhile cannot be read either
        (process / "fd/7").symlink_to("/dev/sdb1" if name == "qemu" else "/dev/sdb")
        (process / "fdinfo").mkdir()
        (process / "fdinfo/7").write_text(f"pos:\t0\nflags:\t{flags}\nmnt_id:\t1\n")
        (process / "comm").write_text(f"{name}\n")
    (device,) = LinuxDisks(layout.system).devices()
    (refusal,) = device.refusals
    assert (refusal.reason, refusal.text) == (Reason.IN_USE, "is open in qemu (101)")


def test_what_a_disk_is(tmp_path: Path) -> None:
    text = """
    disk sda bus=sata vendor=ATA model="Samsung SSD 860" serial=S3Z size=500G
    disk sdb bus=usb vendor=SanDisk model="Ultra   Fit" serial=4C53 size=16G removable=1
    disk sdc bus=usb vendor=QEMU model="QEMU HARDDISK" size=1G sector=4096
    disk mmcblk1 bus=mmc model=SC64G serial=0x9a41 size=64G type=SD
    disk vda bus=virtio serial=root size=20G
    """
    found = listed(LinuxDisks(build(text, tmp_path).system))
    assert found["sda"].model == "Samsung SSD 860"
    assert (found["sda"].bus, found["sda"].serial) == (Bus.SATA, "S3Z")
    assert (found["sdb"].model, found["sdb"].serial) == ("SanDisk Ultra Fit", "4C53")
    assert found["sdb"].removable
    assert (found["sdb"].path, found["sdb"].size) == ("/dev/sdb", 16 << 30)
    assert (found["sdc"].model, found["sdc"].sector_size) == ("QEMU HARDDISK", 4096)
    assert (found["sdc"].key, found["sdc"].word) == ("/dev/sdc", "QEMU HARDDISK")
    assert (found["mmcblk1"].bus, found["mmcblk1"].model) == (Bus.MMC, "SC64G")
    assert (found["vda"].bus, found["vda"].key, found["vda"].word) == (
        Bus.VIRTIO,
        "root",
        "/dev/vda",
    )


def test_the_unit_serial_number_page_is_read(tmp_path: Path) -> None:
    layout = build("disk sda bus=scsi vendor=HP model=LOGICAL size=1T", tmp_path)
    folder = layout.system.sys / "class/block/sda/device"
    (folder / "vpd_pg80").write_bytes(b"\0\x80\0\x0c" + b"  PDNLH0BRH8 ")
    assert listed(LinuxDisks(layout.system))["sda"].serial == "PDNLH0BRH8"


def test_partitions_and_other_things_are_no_targets(tmp_path: Path) -> None:
    layout = build("disk sda bus=sata size=1T\npart sda1 sda\nmd md0 on sda1", tmp_path)
    disks = LinuxDisks(layout.system)
    with pytest.raises(UnsafeTarget, match="is a partition, not a whole disk; use /dev/sda"):
        disks.find_number("8:1", "/dev/sda1")
    with pytest.raises(UnsafeTarget, match="is not a disk that can boot"):
        disks.find_number("8:2", "/dev/md0")
    with pytest.raises(InputError, match="does not exist"):
        disks.find_number("8:99", "/dev/sdz")
    with pytest.raises(InputError, match="is not a block device"):
        disks.find(str(tmp_path))
    with pytest.raises(InputError, match="cannot be opened"):
        disks.find(str(tmp_path / "none"))


def test_a_disk_knows_the_files_on_it(tmp_path: Path) -> None:
    image = tmp_path / "esp.img"
    image.touch()
    text = f"""
    disk sdb bus=usb serial=A size=8G removable=1
    part sdb1 sdb
    disk sdc bus=usb serial=B size=8G removable=1
    mount /dev/sdb1 {tmp_path.resolve()} ext4
    """
    disks = LinuxDisks(build(text, tmp_path / "tree").system)
    found = listed(disks)
    assert disks.first_on(found["sdb"], ["/dev/null", str(image)]) == str(image)
    assert disks.first_on(found["sdc"], ["/dev/null", str(image)]) == ""


def test_the_disk_of_this_machine_is_refused() -> None:
    """Whatever this machine is: what holds / is never safe."""
    for device in LinuxDisks().devices():
        if any(mount.target == "/" for mount in device.mounts):
            assert device.refusals[0].reason is Reason.SYSTEM


# ---- the command


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LinuxDisks:
    disks = LinuxDisks(load("plain-laptop", tmp_path / "laptop").system)
    monkeypatch.setattr("efi_image.cli.devices.disks", lambda: disks)
    return disks


def test_table(laptop: LinuxDisks, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == "DEVICE SIZE BUS MODEL SERIAL MOUNTED SAFE TO WRITE".split()
    assert first.split()[:4] == ["/dev/sda", "500.0", "GiB", "sata"]
    assert first.endswith("no: contains /boot/efi, contains /, contains swap, is an internal disk")
    assert "usb (removable)  SanDisk Ultra Fit  4C530001230816109184  /media/ann/STICK" in second
    assert second.endswith("yes, after unmounting")


def test_json(laptop: LinuxDisks, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json", "--size", "32G"]) == 0
    first, second = json.loads(capsys.readouterr().out)["devices"]
    assert [row["reason"] for row in first["reasons"]] == ["system"] * 3 + ["internal"]
    assert second["safe"] is False
    assert second["reasons"] == [{"reason": "too-small", "text": "is smaller than 32.0 GiB"}]
    assert second["unmount"] == [
        {"source": "/dev/sdb1", "target": "/media/ann/STICK", "filesystem": "vfat"}
    ]


def test_foreign_names_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disks = LinuxDisks(load("hostile-names", tmp_path).system)
    monkeypatch.setattr("efi_image.cli.devices.disks", lambda: disks)
    assert main(["devices"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2


def test_loop_devices_are_listed_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disks = LinuxDisks(load("partitioned-loop", tmp_path).system)
    monkeypatch.setattr("efi_image.cli.devices.disks", lambda: disks)
    assert main(["devices"]) == 0
    assert "no disks found" in capsys.readouterr().out
    assert main(["devices", "--all"]) == 0
    assert "/dev/loop0" in capsys.readouterr().out


# ---- watching


def test_changes_are_told(tmp_path: Path) -> None:
    laptop = listed(LinuxDisks(load("plain-laptop", tmp_path).system))
    disk, stick = laptop["sda"], laptop["sdb"]
    unmounted = replace(stick, mounts=(), unmount=())
    exchanged = replace(unmounted, diskseq=99, serial="other")
    looks = iter([[disk], [disk, stick], [disk, unmounted], [disk, exchanged], [disk], [disk]])
    seen = []
    for event, device in changes(lambda: next(looks), wait=lambda: None):
        seen.append((event, device.serial))
        if len(seen) == 6:
            break
    assert seen == [
        (Event.PRESENT, disk.serial), (Event.ADDED, stick.serial), (Event.CHANGED, stick.serial),
        (Event.REMOVED, stick.serial), (Event.ADDED, "other"), (Event.REMOVED, "other"),
    ]  # fmt: skip


def test_pyudev_is_listened_to() -> None:
    """Without an event it comes back by itself, to see mounts."""
    following = changes(lambda: next(looks))
    device = Device("/dev/sdb", "sdb", 1, 512)
    looks = iter([[device], [], [device]])
    assert next(following) == (Event.PRESENT, device)
    assert next(following) == (Event.REMOVED, device)
