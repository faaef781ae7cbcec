"""The devices of the emulated machines: media, serial port, screen, shared folder, network."""

from __future__ import annotations

import itertools
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from machines import TCG, options

from efi_image.emulator import Debug, Devices, Forward, Medium, RunRequest
from efi_image.emulator.bochs import Bochs
from efi_image.emulator.cpu_probe import Extension
from efi_image.emulator.qemu import Accelerator, Qemu
from efi_image.emulator.qemu_devices import find_display
from efi_image.errors import InputError, MissingError, UsageError


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "esp.img"
    path.write_bytes(bytes(512))
    return path


@pytest.mark.parametrize(
    ("medium", "devices", "drive"),
    [
        (Medium.DISK, ["virtio-blk-pci,drive=image,bootindex=0"], "snapshot=on"),
        (Medium.OPTICAL, ["ide-cd,drive=image,bootindex=0"], "media=cdrom,readonly=on"),
        (Medium.USB, ["qemu-xhci", "usb-storage,drive=image,bootindex=0"],
         "snapshot=on"),
    ],
)  # fmt: skip
def test_media_of_qemu(
    image: Path, work: Path, medium: Medium, devices: list[str], drive: str
) -> None:
    rom = work / "rom.fd"
    rom.write_bytes(b"own")
    command = TCG.prepare(RunRequest(image, firmware=rom, medium=medium), work).command
    pairs = list(itertools.pairwise(command))
    assert [b for a, b in pairs if a == "-device"][: len(devices)] == devices
    assert drive in [b for a, b in pairs if a == "-drive"][-1]


def test_media_of_bochs(emulator: Bochs, image: Path, work: Path) -> None:
    emulator.prepare(RunRequest(image, medium=Medium.OPTICAL), work)
    lines = options((work / "bochsrc").read_text())
    assert lines["ata0-master"] == "type=cdrom, path=disk.img, status=inserted"
    assert lines["boot"] == "cdrom"
    with pytest.raises(UsageError, match="no USB medium"):
        emulator.check(RunRequest(image, medium=Medium.USB))


def test_an_optical_image_is_a_whole_number_of_blocks(tmp_path: Path) -> None:
    short = tmp_path / "short.iso"
    short.write_bytes(bytes(2560))
    RunRequest(short).check_files()
    with pytest.raises(InputError, match="2048-byte sectors"):
        RunRequest(short, medium=Medium.OPTICAL).check_files()


def test_gdb_server(image: Path, work: Path, emulator: Bochs) -> None:
    rom = work / "rom.fd"
    rom.write_bytes(b"own")
    debug = Debug(gdb="127.0.0.1:5000", stopped=True)
    command = TCG.prepare(RunRequest(image, firmware=rom, debug=debug), work).command
    assert command[command.index("-gdb") + 1] == "tcp:127.0.0.1:5000"
    assert "-S" in command
    with pytest.raises(UsageError, match="Bochs has no GDB server"):
        emulator.check(RunRequest(image, debug=debug))


SHARE = Path("/folder/share.img")


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (Devices(), "-display none"),
        (Devices(screenshot=Path("x.png")), "-device VGA -qmp unix:qmp,server=on,wait=off "
         "-no-shutdown"),
        (Devices(display=True), "-display sdl -device VGA"),
        (Devices(share=SHARE), "-drive if=none,id=share,snapshot=on,format=raw,"
         "file=/folder/share.img -device virtio-blk-pci,drive=share"),
        (Devices(network=True), "-netdev user,id=network -device virtio-net-pci,netdev=network"),
        (Devices(network=True, forwards=(Forward(40022, 22), Forward(40080, 80))),
         "-netdev user,id=network,hostfwd=tcp:127.0.0.1:40022-:22,hostfwd=tcp:127.0.0.1:40080-:80"),
    ],
)  # fmt: skip
def test_devices_of_qemu(
    image: Path,
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: Devices,
    expected: str,
) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\nprintf 'Available display backend types:\\nnone\\nsdl\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":9")
    rom = work / "rom.fd"
    rom.write_bytes(b"own")
    machine = Qemu(str(program), Accelerator.TCG, Extension.SVM)
    command = machine.prepare(RunRequest(image, firmware=rom, devices=devices), work).command
    assert expected in " ".join(command)
    assert ("VGA" in command) == devices.screen
    assert ("-netdev" in command) == devices.network


def test_windows_that_cannot_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho none curses\n")
    program.chmod(0o755)
    with pytest.raises(MissingError, match="`apt install qemu-system-gui`"):
        find_display(str(program))
    program.write_text("#!/bin/sh\necho none gtk\n")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UsageError, match="no desktop here; save the screen with --screenshot"):
        find_display(str(program))


def test_a_port_that_is_in_use(image: Path, work: Path) -> None:
    """gdb would connect to the other program."""
    rom = work / "rom.fd"
    rom.write_bytes(b"own")
    request = RunRequest(image, firmware=rom)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        devices = Devices(network=True, forwards=(Forward(port, 22),))
        words = f"port {port} of this machine cannot be used: Address already in use"
        with pytest.raises(UsageError, match=f"--forward: {words}"):
            TCG.check(replace(request, devices=devices))
        debug = Debug(gdb=f"127.0.0.1:{port}")
        with pytest.raises(UsageError, match=f"--gdb: {words}"):
            TCG.check(replace(request, debug=debug))
    TCG.check(replace(request, devices=devices, debug=Debug(gdb=f"localhost:{port}")))


def test_a_port_that_this_user_cannot_have(image: Path, work: Path) -> None:
    rom = work / "rom.fd"
    rom.write_bytes(b"own")
    request = RunRequest(image, firmware=rom, debug=Debug(gdb="no-such-host.invalid:1"))
    with pytest.raises(UsageError, match="--gdb: port 1 of this machine cannot be used"):
        TCG.check(request)


@pytest.mark.parametrize("text", ["", "22", "a:22", "0:22", "22:65536", "1:2:3", "-1:22", "²:22"])
def test_bad_forwards(text: str) -> None:
    assert Forward.parse("2222:22") == Forward(2222, 22)
    with pytest.raises(UsageError, match="--forward: is not HOSTPORT:GUESTPORT"):
        Forward.parse(text)


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (Devices(display=True), "no window"),
        (Devices(screenshot=Path("x.png")), "no way to save its screen"),
        (Devices(network=True), "no network"),
    ],
)
def test_devices_that_bochs_does_not_have(
    emulator: Bochs, image: Path, devices: Devices, words: str
) -> None:
    with pytest.raises(UsageError, match=f"Bochs has {words}.*; use --emulator qemu"):
        emulator.check(RunRequest(image, devices=devices))


def test_serial_port_and_second_disk(emulator: Bochs, image: Path, work: Path) -> None:
    emulator.prepare(RunRequest(image), work)
    lines = options((work / "bochsrc").read_text())
    assert lines["com1"] == "enabled=1, mode=file, dev=serial"
    assert "ata0-slave" not in lines
    for path in work.iterdir():
        path.unlink()
    emulator.prepare(RunRequest(image, console=True, devices=Devices(share=SHARE)), work)
    lines = options((work / "bochsrc").read_text())
    assert lines["com1"] == "enabled=1, mode=term, dev=serial.tty"
    assert "path=share.img, mode=volatile" in lines["ata0-slave"]  # the folder is never written
    rom = work / "rom.fd"
    rom.write_bytes(b"own")
    command = TCG.prepare(RunRequest(image, firmware=rom, console=True), work).command
    assert "serial,id=console,path=serial.tty" in command
