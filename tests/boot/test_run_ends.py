"""A guest that ends the run itself: by QEMU's debug-exit device, by Bochs's shutdown port."""

from __future__ import annotations

from pathlib import Path

import pytest

from efi_image.cli import main as cli
from efi_image.errors import ExitCode

ROM_SIZE, RESET = 0x10000, 0xFFF0  # the CPU starts at RESET, in real mode
JUMP = bytes.fromhex("e9 0d 00")  # from RESET to the ROM's first byte
HALT = bytes.fromhex("f4 eb fd")


def out(port: int, *data: int) -> bytes:
    """Code that writes bytes to an I/O port."""
    select = b"\xba" + port.to_bytes(2, "little")  # mov dx, port
    return select + b"".join(bytes((0xB0, byte, 0xEE)) for byte in data)  # mov al, byte; out dx, al


@pytest.mark.parametrize(
    ("emulator", "code", "words"),
    [
        ("qemu", out(0xF4, 0), "the guest ended with debug-exit code 0"),
        ("qemu", out(0xF4, 33), "the guest ended with debug-exit code 33"),
        ("bochs", out(0x8900, *b"Shutdown"), "the guest ended through the shutdown port"),
    ],
)
def test_guest_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], emulator: str, code: bytes, words: str
) -> None:
    rom, image = tmp_path / "guest.rom", tmp_path / "empty.img"
    rom.write_bytes(((code + HALT).ljust(RESET, b"\0") + JUMP).ljust(ROM_SIZE, b"\0"))
    image.write_bytes(bytes(1 << 20))
    line = ["run", str(image), "--emulator", emulator, "--firmware", str(rom), "--timeout", "60"]
    assert cli.main(line) == ExitCode.OK
    assert words in capsys.readouterr().err


def test_emulator_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """QEMU's own failure has the exit status of debug-exit code 0."""
    image = tmp_path / "empty.img"
    image.write_bytes(bytes(1 << 20))
    line = ["run", str(image), "--emulator", "qemu", "--extra=-device", "--extra=no-such-device"]
    assert cli.main(line) == ExitCode.EMULATOR
    assert "the emulator failed: qemu ended with exit status 1" in capsys.readouterr().err
