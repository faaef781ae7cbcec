"""Reports fit the terminal: tables shrink, long lines continue with an indent, nothing is lost."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from layouts import load
from terminal import Session

from efi_image.cli.devices import table_of
from efi_image.cli.main import main
from efi_image.devices.linux import LinuxDisks
from efi_image.render.text import table, wrapped

ROOT = Path(__file__).parents[2]
CODE = "import sys\nfrom efi_image.cli.main import main\nsys.exit(main())"
REPORTS = (
    "devices --all", "config", "make --show", "verify IMAGE", "verify BROKEN", "inspect IMAGE",
    "inspect PROGRAM", "diff IMAGE BROKEN",
)  # fmt: skip
ROWS = [("NAME", "SIZE", "PLACE"), ("a", "1.0 MiB", "somewhere"), ("bcd", "20.0 MiB", "else")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("width")
    program = next(ROOT.glob("out/*/x86_64/ZppBoot.efi"), None)
    image = folder / "image"
    added = ["--add", f"{program}:/EFI/BOOT/BOOTX64.EFI"] if program else []
    assert main(["make", str(image), "--hypervisor", "none", *added]) == 0
    data = bytearray(image.read_bytes())
    data[528:532] = bytes(4)
    (folder / "broken").write_bytes(data)
    return {"IMAGE": "image", "BROKEN": "broken", "PROGRAM": str(program), "": str(folder)}


def printed(line: str, places: dict[str, str], columns: int) -> list[str]:
    words = [places.get(word, word) for word in line.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    code = f"import os\nos.chdir({places['']!r})\n{CODE}"
    session = Session([sys.executable, "-c", code, *words], environment, columns)
    try:
        session.end()
    finally:
        session.close()
    return re.sub(r"\x1b\[[0-9;]*m", "", session.seen.decode()).splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("line", REPORTS)
def test_reports_fit(line: str, columns: int, places: dict[str, str]) -> None:
    if "PROGRAM" in line and places["PROGRAM"] == "None":
        pytest.skip("zpp is not built")
    shown = printed(line, places, columns)
    assert shown
    for each in shown:
        is_one_word = len(each.split()) == 1  # a digest, a path
        assert len(each) <= columns or is_one_word or max(map(len, each.split())) > columns - 30


def test_a_table_that_fits_is_as_without_a_width() -> None:
    assert list(table(ROWS, "<><", 30)) == list(table(ROWS, "<><"))


def test_columns_that_do_not_fit_follow() -> None:
    assert list(table(ROWS, "<><", 20)) == [
        "NAME      SIZE",
        "a      1.0 MiB",
        "    PLACE: somewhere",
        "bcd   20.0 MiB",
        "    PLACE: else",
    ]


@pytest.mark.parametrize("width", [30, 60, 80])
def test_no_fact_about_a_disk_is_lost(width: int, tmp_path: Path) -> None:
    """Above all the serial number, which --yes-erase needs."""
    devices = list(LinuxDisks(load("twins", tmp_path).system).devices())
    whole = " ".join(" ".join(table_of(devices)).split())
    shown = " ".join(" ".join(table_of(devices, width)).split())
    for device in devices:
        assert device.serial in shown
        for refusal in device.refusals:
            assert refusal.text in shown
    assert set(re.findall(r"/\S+", whole)) == set(re.findall(r"/[^\s,]+", shown))


@pytest.mark.parametrize(
    ("line", "width", "lines"),
    [
        ("short", 10, ["short"]),
        ("  one two three four", 12, ["  one two", "      three", "      four"]),
        ("\x1b[31mred\x1b[0m and on", 10, ["\x1b[31mred\x1b[0m and on"]),
        ("x" * 30, 10, ["x" * 30]),
        ("", 10, [""]),
    ],
)
def test_wrapping(line: str, width: int, lines: list[str]) -> None:
    assert wrapped(line, width) == lines
