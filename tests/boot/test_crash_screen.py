"""The crash report on the screen: a picture of QEMU's screen, whose QR code leads to the source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import zxingcpp
from harness import EPYC, Harness, qemu_pc
from test_crash import broken_harness

from efi_image.config.environment import load
from efi_image.debug.symbolize import build_id, symbolize
from efi_image.emulator import Devices

STAYS = r"^zpp: the machine stays as it is \(reset-after = 0\)$"


def decoded(picture: Path) -> list[str]:
    """The contents of the QR codes in a PPM."""
    kind, size, _, pixels = picture.read_bytes().split(b"\n", 3)
    assert kind == b"P6"
    width, height = map(int, size.split())
    image = memoryview(pixels).cast("B", (height, width, 3))
    return [code.bytes.decode("ascii") for code in zxingcpp.read_barcodes(image)]


def test_report_is_on_the_screen(harness: Harness) -> None:
    pc = qemu_pc(EPYC, 2)
    image = broken_harness(harness, "zpp::unmap(").image(
        kernel=harness.build_directory / "ZppBoot.efi", reset_after=0
    )
    picture = harness.log.with_suffix(".ppm")
    request = replace(
        harness.request(pc, image), expect=(STAYS,), devices=Devices(screenshot=picture)
    )
    serial = harness.boot(request, pc.emulator).serial
    assert picture.read_bytes()[:15] == b"P6\n1280 800\n255"

    (short,) = decoded(picture)
    symbols = harness.build_directory / "hypervisor.debug.elf"
    lines = short.splitlines()
    assert lines[0] == f"zpp: crash report of build {build_id(symbols)[:12]}"
    assert lines[1].startswith("CPU 0: exception 6 in the host")
    assert "CPU 1 stopped" in lines
    for line in lines[1:]:  # all of it is in the log, too
        assert line in serial
    assert any(line.startswith("exit 129 (VMMCALL) at rip ") for line in lines)
    assert any(line.startswith("rax ") for line in lines)
    places = "\n".join(symbolize(short, symbols, load().toolchain / "llvm-symbolizer"))
    assert "      zpp::unmap(" in places
    assert " at src/svm/exit.cpp:" in places
