"""`zpp-image symbolize`: the core's report with source lines, of a program compiled here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from efi_image.cli import main as cli
from efi_image.config.environment import load
from efi_image.debug.symbolize import address_in, build_id, symbolize
from efi_image.errors import ExitCode, InputError, MissingError

SOURCE = """\
volatile int value;
static inline __attribute__((always_inline)) void inner(void)
{
    value = value + 1;
}
__attribute__((noinline)) void outer(void)
{
    inner();
}
int main(void)
{
    outer();
    return value;
}
"""
SYMBOLIZER = load().toolchain / "llvm-symbolizer"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.c").write_text(SOURCE)
    subprocess.run(
        ["gcc", "-g", "-O1", "-pie", "-Wl,--build-id", "-o", "program", "program.c"],
        cwd=folder,
        check=True,
    )
    return folder / "program"


def address_of(program: Path, name: str) -> int:
    text = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    found = re.search(rf"^([0-9a-f]+) T {name}$", text, re.MULTILINE)
    assert found
    return int(found[1], 16)


def call_of(program: Path) -> int:
    """The return address of main's call."""
    words = ["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", str(program)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"call.*<outer>\n\s+([0-9a-f]+):", text)
    assert found
    return int(found[1], 16)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("zpp:   called from 0x1234", 0x1233),
        ("zpp:   rip 0xffffa00000001234 (image + 0x1234) rsp 0xffffa0000007ff00", 0x1234),
        ("[    1.0] zpp:   called from 0x1234", 0x1233),
        ("zpp:   rip 0x0 (image + 0x60000000000) rsp 0x0", None),
        ("zpp:   rax 0x1234", None),
        # the short report of a QR code
        ("called from 1234", 0x1233),
        ("rip ffffa00000001234 (image + 1234) rsp ffffa0000007ff00", 0x1234),
        ("was called from 1234", None),
        ("drip (image + 1234)", None),
        ("", None),
    ],
)
def test_addresses(line: str, address: int | None) -> None:
    assert address_in(line) == address


def test_source_lines_stand_behind_their_addresses(program: Path) -> None:
    report = (
        "Linux sees 2 CPUs\n"
        f"zpp:   rip 0xffffa00000000000 (image + {address_of(program, 'outer'):#x}) rsp 0x1\n"
        f"zpp:   called from {call_of(program):#x}\n"
        "zpp: CPU 0 stopped\n"
    )
    lines = list(symbolize(report, program, SYMBOLIZER))
    assert [line for line in lines if not line.startswith("      ")] == report.splitlines()
    assert re.fullmatch(r" +outer at .*program\.c:\d", lines[3 if "inner" in lines[2] else 2])
    assert re.search(r"main at .*program\.c:12$", lines[-2])


def test_symbols_of_another_build_are_refused(program: Path, tmp_path: Path) -> None:
    report = f"zpp: crash report of build %s\nzpp:   called from {call_of(program):#x}\n"
    own = build_id(program)
    words = ["readelf", "-n", str(program)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert own
    assert f"Build ID: {own}\n" in text
    assert len(list(symbolize(report % own[:12], program, SYMBOLIZER))) == 3
    with pytest.raises(
        InputError, match=f"has build ID {own[:12]}, but the report has 0123456789ab"
    ):
        list(symbolize(report % "0123456789ab", program, SYMBOLIZER))
    stripped = tmp_path / "stripped"
    subprocess.run(
        ["objcopy", "--remove-section=.note.gnu.build-id", program, stripped], check=True
    )
    with pytest.raises(InputError, match=r"has build ID \?, but the report has"):
        list(symbolize(report % own[:12], stripped, SYMBOLIZER))


def test_command(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "serial.log"
    log.write_bytes(b"\xff\n" + f"zpp:   called from {call_of(program):#x}\n".encode())
    assert cli.main(["symbolize", str(log), "--symbols", str(program)]) == ExitCode.OK
    assert "program.c:12" in capsys.readouterr().out


def test_what_is_missing(program: Path, tmp_path: Path) -> None:
    report = "zpp:   called from 0x1234\n"
    with pytest.raises(InputError, match="nothing: does not exist"):
        list(symbolize(report, tmp_path / "nothing", SYMBOLIZER))
    (tmp_path / "text").write_text("text")
    for folder in (tmp_path, tmp_path / "text"):
        with pytest.raises(MissingError, match="llvm-symbolizer: does not start"):
            list(symbolize(report, program, folder / "llvm-symbolizer"))
    with pytest.raises(InputError, match="has no readable symbols"):
        list(symbolize(report, tmp_path / "text", SYMBOLIZER))
