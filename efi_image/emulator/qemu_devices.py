"""QEMU's arguments for the devices of the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from efi_image.emulator import screen, serial_line
from efi_image.emulator.request import TRACE_PORT, Devices, Medium, RunRequest
from efi_image.errors import MissingError, UsageError

_LOOPBACK = "127.0.0.1"
_NETWORK_DEVICE = "virtio-net-pci,netdev=network,romfile="
_WINDOWS = ("gtk", "sdl", "cocoa")


def check(program: str, request: RunRequest) -> None:
    """Raise UsageError for a port that is in use, and as `find_display` does."""
    if request.debug.gdb:
        host, _, port = request.debug.gdb.rpartition(":")
        _check_free(host.strip("[]"), int(port), "--gdb")
    for forward in request.devices.forwards:
        _check_free(_LOOPBACK, forward.host, "--forward")
    if request.devices.display:
        find_display(program)


def medium(request: RunRequest) -> tuple[str, ...]:
    """The drive with the image, which is read only, and the device that boots from it."""
    image = _quoted(request.image)
    is_disc = request.medium is Medium.OPTICAL
    kept = "media=cdrom,readonly=on" if is_disc else "snapshot=on"
    device = {
        Medium.DISK: ("virtio-blk-pci",),
        Medium.OPTICAL: ("ide-cd",),
        Medium.USB: ("qemu-xhci", "-device", "usb-storage"),
    }[request.medium]
    share = request.devices.share
    second = f"if=none,id=share,snapshot=on,format=raw,file={_quoted(share)}" if share else ""
    return (
        *("-drive", f"if=none,id=image,{kept},format=raw,file={image}"),
        *("-device", *device[:-1], f"{device[-1]},drive=image,bootindex=0"),
        *(("-drive", second, "-device", "virtio-blk-pci,drive=share") if share else ()),
    )


def _quoted(path: Path) -> str:
    """A file name for `-drive`, with commas doubled."""
    return str(path.absolute()).replace(",", ",,")


def serial(request: RunRequest) -> tuple[str, ...]:
    """The serial port: a file, or a pseudo-terminal."""
    if not request.console:
        return ("-serial", "file:serial")
    terminal = f"serial,id=console,path={serial_line.DEVICE}"
    return ("-chardev", terminal, "-serial", "chardev:console")


def debug_port(request: RunRequest) -> tuple[str, ...]:
    """A debug port whose bytes go to the file of the trace."""
    if request.debug.trace is None:
        return ()
    device = f"isa-debugcon,iobase={TRACE_PORT:#x},chardev=trace"
    path = _quoted(request.debug.trace)
    return ("-chardev", f"file,id=trace,path={path}", "-device", device)


def graphics(program: str, devices: Devices) -> tuple[str, ...]:
    """A graphics adapter, and the destination of its picture."""
    shown = find_display(program) if devices.display else "none"
    qmp = ("-qmp", f"unix:{screen.SOCKET},server=on,wait=off", "-no-shutdown")
    return (
        *("-display", shown),
        *(("-device", "VGA") if devices.screen else ()),
        *(qmp if devices.screenshot else ()),
    )


def find_display(program: str) -> str:
    """The kind of window that this QEMU can show here; raises MissingError or UsageError."""
    done = subprocess.run(
        (program, "-display", "help"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    able = [kind for kind in _WINDOWS if kind in done.stdout.split()]
    if not able:
        raise MissingError(
            f"{program} cannot show a window",
            where="--display",
            hint="`apt install qemu-system-gui`",
        )
    if sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        raise UsageError(
            "there is no desktop here", where="--display", hint="save the screen with --screenshot"
        )
    return able[0]


def network(devices: Devices) -> tuple[str, ...]:
    """The network, which other machines cannot reach."""
    if not devices.network:
        return ()
    forwards = "".join(
        f",hostfwd=tcp:{_LOOPBACK}:{port.host}-:{port.guest}" for port in devices.forwards
    )
    # without a ROM: the firmware has its own driver
    return ("-netdev", f"user,id=network{forwards}", "-device", _NETWORK_DEVICE)


def _check_free(host: str, port: int, option: str) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise UsageError(
            f"port {port} of this machine cannot be used: {error.strerror}",
            where=option,
            hint="choose another port",
        ) from None
