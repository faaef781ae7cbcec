"""Which disks are safe targets: dozens of machines, and this one."""

from __future__ import annotations

import json
import plistlib
from pathlib import Path
from typing import Any

import pytest
from layouts import build, load, names

from efi_image import devices
from efi_image.cli import main
from efi_image.commands.write import confirm
from efi_image.devices import Bus, Device, Mount, Reason
from efi_image.devices.linux import LinuxDisks
from efi_image.devices.macos import MacDisks
from efi_image.devices.watch import Event, changes
from efi_image.devices.windows import WindowsDisks
from efi_image.errors import InputError, MissingError, OutputError, UnsafeTarget
from efi_image.reader.medium import Medium
from efi_image.record import replace
from efi_image.write.device import refuse, unmount_confirmed
from efi_image.write.source import RawSource


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
    source = RawSource(Medium(-1, "x.img", 0, 0))
    twin = listed(LinuxDisks(load("twins", tmp_path).system))["sdb"]
    plain = replace(twin, twin="")
    strange = replace(plain, serial="\x1b[2J")  # as it is, or as it is shown
    for device, key in (
        (plain, plain.serial), (twin, "/dev/sdb"), (replace(plain, serial=""), "/dev/sdb"),
        (strange, "\x1b[2J"), (strange, "\\x1b[2J"),
    ):  # fmt: skip
        confirm(device, source, key)
    for device, key, what in (
        (plain, "other", "its own is 0123456789AB"),
        (plain, "/dev/sdb", "its own is 0123456789AB"),
        (twin, twin.serial, "has the serial number of /dev/sdc; --yes-erase /dev/sdb means this"),
        (replace(plain, serial=""), "", "its own is /dev/sdb"),
    ):
        with pytest.raises(UnsafeTarget, match=what):
            confirm(device, source, key)


def test_large_sectors_are_refused(tmp_path: Path) -> None:
    """The boot data would not begin and end at them."""
    (device,) = LinuxDisks(
        build("disk sdb bus=usb size=8G sector=16384", tmp_path).system
    ).devices()
    assert not device.safe
    with pytest.raises(UnsafeTarget, match="has sectors of 16384 bytes"):
        refuse(device, internal=True)


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
    with pytest.raises(UnsafeTarget, match="is a partition; .* which is /dev/sda"):
        disks.find_number("8:1", "/dev/sda1")
    with pytest.raises(UnsafeTarget, match="is no whole disk"):
        disks.find_number("8:2", "/dev/md0")
    with pytest.raises(InputError, match="is not there"):
        disks.find_number("8:99", "/dev/sdz")
    with pytest.raises(InputError, match="is no block device"):
        disks.find(str(tmp_path))
    with pytest.raises(InputError, match="cannot be used"):
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
    assert disks.held(found["sdb"], ["/dev/null", str(image)]) == str(image)
    assert disks.held(found["sdc"], ["/dev/null", str(image)]) == ""


def test_the_disk_of_this_machine_is_refused() -> None:
    """Whatever this machine is: what holds / is never safe."""
    for device in LinuxDisks().devices():
        if any(mount.target == "/" for mount in device.mounts):
            assert device.refusals[0].reason is Reason.SYSTEM


# ---- the command


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LinuxDisks:
    disks = LinuxDisks(load("plain-laptop", tmp_path / "laptop").system)
    monkeypatch.setattr("efi_image.commands.devices.disks", lambda: disks)
    return disks


def test_table(laptop: LinuxDisks, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == "DEVICE SIZE BUS MODEL SERIAL MOUNTED SAFE TO WRITE".split()
    assert first.split()[:4] == ["/dev/sda", "500.0", "GiB", "sata"]
    assert first.endswith("no: holds /boot/efi, holds /, holds swap, is an internal disk")
    assert "usb (removable)  SanDisk Ultra Fit  4C530001230816109184  /media/ann/STICK" in second
    assert second.endswith("yes, unmounts it first")


def test_json(laptop: LinuxDisks, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json", "--size", "32G"]) == 0
    first, second = json.loads(capsys.readouterr().out)
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
    monkeypatch.setattr("efi_image.commands.devices.disks", lambda: disks)
    assert main(["devices"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2


def test_loop_devices_are_listed_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disks = LinuxDisks(load("partitioned-loop", tmp_path).system)
    monkeypatch.setattr("efi_image.commands.devices.disks", lambda: disks)
    assert main(["devices"]) == 0
    assert "no disks are there" in capsys.readouterr().out
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


# ---- macOS


def mac(answers: dict[str, Any]) -> MacDisks:
    def ask(arguments: tuple[str, ...]) -> bytes:
        return plistlib.dumps(answers[" ".join(arguments)])

    return MacDisks(ask)


def about(name: str, **more: object) -> dict[str, object]:
    return {
        "DeviceIdentifier": name, "DeviceNode": f"/dev/{name}", "DeviceBlockSize": 512,
        "VirtualOrPhysical": "Physical", "WritableMedia": True, "WholeDisk": True, **more,
    }  # fmt: skip


MACBOOK: dict[str, Any] = {
    "list -plist": {
        "WholeDisks": ["disk0", "disk3", "disk4", "disk5", "disk6"],
        "AllDisksAndPartitions": [
            {"DeviceIdentifier": "disk0", "Partitions": [{"DeviceIdentifier": "disk0s1"}]},
            {"DeviceIdentifier": "disk3",
             "APFSPhysicalStores": [{"DeviceIdentifier": "disk0s2"}],
             "APFSVolumes": [
                 {"DeviceIdentifier": "disk3s1",
                  "MountedSnapshots": [{"SnapshotMountPoint": "/"}]},
                 {"DeviceIdentifier": "disk3s5", "MountPoint": "/System/Volumes/Data"}]},
            {"DeviceIdentifier": "disk4", "Partitions": [
                {"DeviceIdentifier": "disk4s1", "MountPoint": "/Volumes/STICK"}]},
            {"DeviceIdentifier": "disk5", "MountPoint": "/Volumes/Installer"},
        ],
    },
    "info -plist disk0": about("disk0", MediaName="APPLE SSD AP0512Q", Size=500277790720,
                               BusProtocol="Apple Fabric", Internal=True, DeviceBlockSize=4096),
    "info -plist disk3": about("disk3", VirtualOrPhysical="Virtual", BusProtocol="Apple Fabric"),
    "info -plist disk4": about("disk4", MediaName="Ultra Fit", Size=15376318464,
                               BusProtocol="USB", Internal=False, RemovableMedia=True),
    "info -plist disk5": about("disk5", VirtualOrPhysical="Virtual", BusProtocol="Disk Image",
                               Internal=False, Size=1000, WritableMedia=False),
    "info -plist disk6": about("disk6", MediaName="SD Card Reader", Size=0,
                               BusProtocol="Secure Digital", Internal=True, RemovableMedia=True),
}  # fmt: skip


def reasons(device: Device) -> list[str]:
    return [refusal.reason.value for refusal in device.refusals]


def test_macos() -> None:
    found = listed(mac(MACBOOK))
    assert list(found) == ["disk0", "disk4", "disk5", "disk6"]
    assert reasons(found["disk0"]) == ["system", "system", "internal"]
    assert found["disk0"].sector_size == 4096
    stick = found["disk4"]
    assert (stick.safe, stick.bus, stick.model) == (True, Bus.USB, "Ultra Fit")
    assert [mount.target for mount in stick.unmount] == ["/Volumes/STICK"]
    assert reasons(found["disk5"]) == ["read-only"]
    assert reasons(found["disk6"]) == ["no-medium"]


def test_macos_finds_a_disk_by_either_path() -> None:
    disks = mac(MACBOOK)
    assert disks.find("/dev/disk4").name == disks.find("/dev/rdisk4").name == "disk4"
    with pytest.raises(UnsafeTarget, match="is a partition; .* which is /dev/disk4"):
        disks.find("/dev/disk4s1")
    with pytest.raises(InputError):
        disks.find("/dev/disk9")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WholeDisk", False), ("Internal", None), ("Internal", "No"),
        ("DeviceNode", "/dev/disk0"),
        ("VirtualOrPhysical", "Unknown"), ("VirtualOrPhysical", None),
        ("DeviceIdentifier", "disk0"),
    ],
)  # fmt: skip
def test_what_macos_does_not_tell_is_no_target(key: str, value: object) -> None:
    stick = {k: v for k, v in {**MACBOOK["info -plist disk4"], key: value}.items() if v is not None}
    found = listed(mac({**MACBOOK, "info -plist disk4": stick}))["disk4"]
    assert "unknown" in reasons(found)
    assert not found.unmount
    assert any(key in refusal.text for refusal in found.refusals)


@pytest.mark.parametrize("kind", ["Apple_RAID", "Apple_RAID_Offline", "Apple_CoreStorage"])
def test_macos_members_of_something_else(kind: str) -> None:
    """What is made of them is a disk of its own, and tells not of what it is made."""
    rows = [{"DeviceIdentifier": "disk4", "Content": "GUID_partition_scheme",
             "Partitions": [{"DeviceIdentifier": "disk4s2", "Content": kind}]},
            {"DeviceIdentifier": "disk7", "MountPoint": "/Volumes/Raid"}]  # fmt: skip
    answer = {"WholeDisks": ["disk4"], "AllDisksAndPartitions": rows}
    (device,) = mac({**MACBOOK, "list -plist": answer}).devices()
    assert reasons(device) == ["in-use"]
    assert kind in device.refusals[0].text


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({"Error": True, "ErrorMessage": "Could not find disk"}, "no answer: Could not find disk"),
        ({"WholeDisks": []}, "does not tell which disks"),
        ({"WholeDisks": [], "AllDisksAndPartitions": {}}, "is no list"),
        ({"WholeDisks": [], "AllDisksAndPartitions": [
            {"DeviceIdentifier": "disk3", "APFSPhysicalStores": [{}], "MountPoint": "/"}]},
         "does not tell which disk something is on"),
    ],
)  # fmt: skip
def test_macos_answers_that_are_not_understood(answer: dict[str, Any], what: str) -> None:
    with pytest.raises(MissingError, match=what):
        list(MacDisks(lambda _: plistlib.dumps(answer)).devices())
    with pytest.raises(MissingError, match="is no property list"):
        list(MacDisks(lambda _: b"usage: diskutil").devices())


# ---- Windows


def windows(answer: dict[str, Any]) -> WindowsDisks:
    return WindowsDisks(lambda _: b"\xef\xbb\xbf" + json.dumps(answer).encode())


def disk(number: int, name: str, serial: str, size: Any, bus: Any, **more: object) -> object:
    return {
        "Number": number, "FriendlyName": name, "SerialNumber": serial, "Size": size,
        "LogicalSectorSize": 512, "BusType": bus, "IsBoot": False, "IsSystem": False,
        "IsReadOnly": False, "IsOffline": False, "IsClustered": False, **more,
    }  # fmt: skip


def partition(disk: int, paths: list[str] | str, *, boot: bool = False) -> object:
    return {"DiskNumber": disk, "PartitionNumber": 1, "AccessPaths": paths, "IsBoot": boot,
            "IsSystem": False}  # fmt: skip


DESKTOP: dict[str, Any] = {
    "disks": [
        disk(0, "Samsung SSD 980", "0025_38B1", 1000204886016, "NVMe", IsBoot=True, IsSystem=True),
        disk(1, "ST2000DM008", " ZFL0 ", 2000398934016, 11),
        disk(2, "SanDisk  Ultra", "4C53", 15376318464, "USB"),
        disk(3, "Card Reader", "", 0, 7, IsReadOnly=True, LogicalSectorSize=0),
        disk(4, "Paged", "P", 64000000000, "USB"),
    ],
    "partitions": [
        partition(0, ["C:\\", "\\\\?\\Volume{1}\\"], boot=True),
        partition(1, ["D:\\"]),
        partition(2, "E:\\"),
        partition(4, ["F:\\"]),
    ],
    "pagefiles": [{"Name": "C:\\pagefile.sys"}, {"Name": "f:\\pagefile.sys"}],
}


def test_windows() -> None:
    found = listed(windows(DESKTOP))
    assert reasons(found["PhysicalDrive0"]) == ["system", "system", "mounted", "internal"]
    assert reasons(found["PhysicalDrive1"]) == ["mounted", "internal"]
    stick = found["PhysicalDrive2"]
    assert (stick.safe, stick.model, stick.serial) == (True, "SanDisk Ultra", "4C53")
    assert [mount.target for mount in stick.unmount] == ["E:\\"]
    assert reasons(found["PhysicalDrive3"]) == ["no-medium", "read-only"]
    assert reasons(found["PhysicalDrive4"]) == ["system"]
    assert windows(DESKTOP).find("\\\\.\\physicaldrive2") == stick
    with pytest.raises(InputError):
        windows(DESKTOP).find("E:")


@pytest.mark.parametrize(
    ("key", "value"),
    [("IsBoot", None), ("IsSystem", "False"), ("IsReadOnly", None), ("IsOffline", None),
     ("IsClustered", None)],
)  # fmt: skip
def test_what_windows_does_not_tell_is_no_target(key: str, value: object) -> None:
    stick = disk(2, "SanDisk  Ultra", "4C53", 15376318464, "USB", **{key: value})
    (device,) = windows({**DESKTOP, "disks": [stick]}).devices()
    assert reasons(device)[-1] == "unknown"
    assert device.refusals[-1].text.endswith(key)
    assert not device.unmount


def test_windows_disks_that_others_use() -> None:
    rows = [disk(2, "A", "1", 9, "USB", IsOffline=True), disk(3, "B", "2", 9, 7, IsClustered=True),
            disk(5, "C", "3", 9, {"value": 7}), disk(6, "D", "4", "9", "USB"),
            disk(7, "eMMC", "5", 9, "MMC")]  # fmt: skip
    found = windows({**DESKTOP, "disks": rows}).devices()
    assert [reasons(device) for device in found] == [
        ["in-use"], ["in-use"], ["internal"], ["no-medium"], ["internal"],
    ]  # fmt: skip


@pytest.mark.parametrize("paths", [{"value": ["C:\\"], "Count": 1}, [["C:\\"]], 7])
def test_mounts_that_windows_tells_in_other_words(paths: Any) -> None:
    """Windows PowerShell wraps some lists in an object; and rows of no disk may be any disk's."""
    stick = disk(2, "SanDisk  Ultra", "4C53", 15376318464, "USB")
    rows = [{**DESKTOP["partitions"][2], "AccessPaths": paths, "DiskNumber": None}]
    (device,) = windows({"disks": [stick], "partitions": rows, "pagefiles": []}).devices()
    assert reasons(device) == ["unknown"]


@pytest.mark.parametrize(
    "answer",
    [b"Get-Disk : Access denied", b"[]", b'{"disks": [], "partitions": []}',
     b'{"disks": {"value": []}, "partitions": [], "pagefiles": []}',
     b'{"disks": [{"Number": null}], "partitions": [], "pagefiles": []}'],
)  # fmt: skip
def test_windows_answers_that_are_none(answer: bytes) -> None:
    with pytest.raises(MissingError):
        list(WindowsDisks(lambda _: answer).devices())
