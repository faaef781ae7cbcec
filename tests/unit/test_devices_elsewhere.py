"""The disks of macOS and Windows, from answers written down by hand."""

from __future__ import annotations

import json
import plistlib
from collections.abc import Iterator
from typing import Any

import pytest

from efi_image import devices
from efi_image.devices import Bus, Device
from efi_image.devices.macos import MacDisks
from efi_image.devices.windows import WindowsDisks
from efi_image.errors import InputError, MissingError, UnsafeTarget


def listed(disks: devices.Disks) -> dict[str, Device]:
    return {device.name: device for device in disks.devices()}


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
    with pytest.raises(UnsafeTarget, match="is a partition, not a whole disk; use /dev/disk4"):
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
        ({"Error": True, "ErrorMessage": "Could not find disk"}, "failed: Could not find disk"),
        ({"WholeDisks": []}, "does not list the disks"),
        ({"WholeDisks": [], "AllDisksAndPartitions": {}}, "has an unknown form"),
        ({"WholeDisks": [], "AllDisksAndPartitions": [
            {"DeviceIdentifier": "disk3", "APFSPhysicalStores": [{}], "MountPoint": "/"}]},
         "does not tell which disk a volume is on"),
    ],
)  # fmt: skip
def test_macos_answers_that_are_not_understood(answer: dict[str, Any], what: str) -> None:
    with pytest.raises(MissingError, match=what):
        list(MacDisks(lambda _: plistlib.dumps(answer)).devices())
    with pytest.raises(MissingError, match="is not a property list"):
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
    (device,) = windows({"disks": [stick], "partitions": [], "pagefiles": []}).devices()
    assert reasons(device)[-1] == "unknown"
    assert device.refusals[-1].text.endswith(key)
    assert not device.unmount


OTHERS: list[Any] = ["", False, -1, 99, [], {}, "?", ["?"], [{}]]


def without_one(answer: Any, others: list[Any]) -> Iterator[Any]:
    """The answer without one of its values, or with another in its place; for each of them."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield {k: v for k, v in answer.items() if k != key}
            yield from ({**answer, key: other} for other in others)
            yield from ({**answer, key: inner} for inner in without_one(value, others))
    elif isinstance(answer, list):
        for number, value in enumerate(answer):
            before, after = answer[:number], answer[number + 1 :]
            yield from ([*before, other, *after] for other in others)
            yield from ([*before, inner, *after] for inner in without_one(value, others))


def known_unsafe(disks: devices.Disks) -> set[str]:
    return {device.path for device in disks.devices() if not device.safe}


def test_windows_tells_less() -> None:
    """No disk becomes a target because something is not told, or told in other words."""
    unsafe = known_unsafe(windows(DESKTOP))
    assert len(unsafe) == 4
    for answer in without_one(DESKTOP, [*OTHERS, None]):
        try:
            found = {d.path: d for d in windows(answer).devices()}
        except MissingError:
            continue
        if not answer["pagefiles"]:
            continue  # that is an answer: there is none
        for path in unsafe & set(found):
            assert not found[path].safe, (path, answer)


@pytest.mark.slow
def test_macos_tells_less() -> None:
    unsafe = known_unsafe(mac(MACBOOK))
    assert len(unsafe) == 3
    for answer in without_one(MACBOOK, [other for other in OTHERS if other != 99]):
        if set(answer) != set(MACBOOK):
            continue  # that command would fail
        try:
            found = {d.path: d for d in mac(answer).devices()}
        except MissingError:
            continue
        for path in unsafe & set(found):
            assert not found[path].safe, (path, answer)


def test_windows_disks_that_others_use() -> None:
    rows = [disk(2, "A", "1", 9, "USB", IsOffline=True), disk(3, "B", "2", 9, 7, IsClustered=True),
            disk(5, "C", "3", 9, {"value": 7}), disk(6, "D", "4", "9", "USB"),
            disk(7, "eMMC", "5", 9, "MMC")]  # fmt: skip
    found = windows({"disks": rows, "partitions": [], "pagefiles": []}).devices()
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
