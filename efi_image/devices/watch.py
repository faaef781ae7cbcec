"""Follows disks that are plugged and unplugged; the kernel and udev tell when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from efi_image.devices.model import Device
from efi_image.errors import MissingError

_SETTLE = 0.3  # seconds without an event before disks are looked at
_POLL = 2.0  # seconds; mounts come without an event


class Event(Enum):
    """What happened to a disk."""

    PRESENT = "present"  # when watching began
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


def differences(
    before: dict[str, Device], now: dict[str, Device]
) -> Iterator[tuple[Event, Device]]:
    """The changes between two lists; a disk is identified by its path and `diskseq`."""
    for path, device in before.items():
        if path not in now or now[path].diskseq != device.diskseq:
            yield Event.REMOVED, device
    for path, device in now.items():
        old = before.get(path)
        if old is None or old.diskseq != device.diskseq:
            yield Event.ADDED, device
        elif old != device:
            yield Event.CHANGED, device


def _waiter() -> Callable[[], None]:
    """A function that returns when disks may have changed."""
    try:
        import pyudev  # noqa: PLC0415
    except ImportError:
        raise MissingError("pyudev is not installed", hint="`pip install pyudev`") from None
    # udev's events come after it has read the disk; without udev, use the kernel's
    source = "udev" if Path("/run/udev/control").exists() else "kernel"
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
    monitor.filter_by("block")
    monitor.start()

    def wait() -> None:
        if monitor.poll(_POLL) is not None:
            while monitor.poll(_SETTLE) is not None:
                pass

    return wait


def changes(
    look: Callable[[], list[Device]], wait: Callable[[], None] | None = None
) -> Iterator[tuple[Event, Device]]:
    """All disks, then all changes, without end. Raises MissingError without pyudev."""
    pause = wait or _waiter()
    before: dict[str, Device] = {}
    now = {device.path: device for device in look()}
    yield from ((Event.PRESENT, device) for device in now.values())
    while True:
        pause()
        before, now = now, {device.path: device for device in look()}
        yield from differences(before, now)
