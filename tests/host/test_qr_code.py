"""The core's QR codes, and the whole picture of a report, read by an independent decoder."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
import zxingcpp

from efi_image.config.environment import load

HERE = Path(__file__).parent
LONGEST = 666
REPORT = b"""zpp: crash report of build 10e2540dd38f
zpp: CPU 0: exception 6 in the host, error code 0, cr2 0
zpp:   rip ffffa00000004ea4 (image + 4ea4) rsp ffffa0000007fdc0
zpp:   rax ffffa00000006b4c rbx 0 rcx ffffa000000019dc rdx 2
zpp:   called from 6b5f
zpp:   exit 114 (CPUID) at rip 1dfa857f
zpp: CPU 0 stopped
"""


@pytest.fixture(scope="module")
def paint() -> Path:
    """The program that paints as the core does."""
    config = load()
    variables = {
        "CONFIGURATION": config.values()["CONFIGURATION"],
        "TOOLCHAIN": config.values()["TOOLCHAIN"],
        "OUT": str(config.build_directory),
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    line = ["make", "-s", "-C", str(HERE), "paint", *(f"{k}={v}" for k, v in variables.items())]
    subprocess.run(line, env=environment, check=True, capture_output=True)
    return config.build_directory / "host-tests/screen/paint"


def decoded(picture: bytes) -> list[bytes]:
    """The contents of the QR codes in a PGM."""
    kind, size, _, pixels = picture.split(b"\n", 3)
    assert kind == b"P5"
    width, height = map(int, size.split())
    image = memoryview(pixels).cast("B", (height, width))
    return [code.bytes for code in zxingcpp.read_barcodes(image)]


def run(program: Path, *words: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, *words], input=data, capture_output=True, check=False)


def test_every_length_of_content(paint: Path) -> None:
    numbers = random.Random(1)
    lengths = {*range(1, LONGEST, 9), 14, 15, 26, 27, 180, 181, 213, 214, LONGEST}
    sizes = set()
    for length in sorted(lengths):
        data = bytes(numbers.choice(b"0123456789abcdef :()+\nzp") for _ in range(length))
        done = run(paint, "code", data=data)
        assert not done.returncode
        assert decoded(done.stdout) == [data], length
        sizes.add(done.stdout.split(b"\n", 2)[1])
    assert len(sizes) == 20  # each version
    assert run(paint, "code", data=bytes(LONGEST + 1)).returncode == 1


def test_any_bytes(paint: Path) -> None:
    for data in (bytes(range(256)), bytes(100), b"\xff" * 100):
        assert decoded(run(paint, "code", data=data).stdout) == [data]


def test_code_can_be_read_with_damage(paint: Path) -> None:
    """Level M corrects 15 % of the codewords: a spot of a twelfth of the area does no harm."""
    picture = bytearray(run(paint, "code", data=REPORT).stdout)
    head = len(b"\n".join(bytes(picture).split(b"\n", 3)[:3])) + 1
    width = int(bytes(picture).split(b"\n", 2)[1].split()[0])
    spot = width // 4
    for y in range(width // 3, width // 3 + spot):
        start = head + y * width + width // 3
        picture[start : start + spot] = b"\x00" * spot
    assert decoded(bytes(picture)) == [REPORT]


@pytest.mark.parametrize("size", [(640, 480), (800, 600), (1024, 768), (1280, 800), (3840, 2160)])
def test_code_on_the_screen(paint: Path, size: tuple[int, int]) -> None:
    done = run(paint, *map(str, size), data=REPORT)
    assert decoded(done.stdout) == [done.stderr]
    assert done.stderr.startswith(b"zpp: crash report of build 10e2540dd38f\nCPU 0: exception 6")
