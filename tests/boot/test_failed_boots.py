"""After boots that do not complete, ZppBoot boots without the hypervisor, and says so."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import firmware_boot
import pytest
from efi_word import Ending, word_program
from harness import CMDLINE, EPYC, Harness, qemu_pc
from menu_images import boot_with, files, kernel, said
from test_crash import broken_harness

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.devices.efivars import ZPP
from efi_image.emulator import ExitReason, Medium
from efi_image.emulator.qmp import Qmp

PC = qemu_pc(EPYC, 2)
FAILED = r"^zpp: (\d) boots? with the hypervisor did not complete; after (\d) it is turned off$"
LEFT_OUT = r"^zpp: no hypervisor: the last (\d) boots? with it did not complete$"
RUNS = "zpp: loaded and launched in"


def reasons(serial: str) -> list[tuple[str, ...]]:
    """What ZppBoot said about failed boots, in order."""
    found = re.finditer(f"(?:{FAILED})|(?:{LEFT_OUT})", serial, re.MULTILINE)
    return [tuple(group for group in match.groups() if group) for match in found]


def test_crash_of_the_core(harness: Harness) -> None:
    """It crashes at the commit, and resets the machine."""
    image = broken_harness(harness, "zpp::unmap(").image(
        kernel=kernel(harness), reset_after=1, boot_tries=2
    )
    serial = harness.run_to_power_off(harness.request(PC, image), PC.emulator)
    assert serial.count("zpp: CPU 0: exception 6 in the host") == 2
    assert "the last boot ended with: zpp crashed: CPU 0: exception 6 in the host" in serial
    assert reasons(serial) == [("1", "2"), ("2",)]
    assert said(serial) == ["kernel"]
    assert "press Space at the start, then H in the menu" in serial


def test_kernel_panic(harness: Harness) -> None:
    """A loader entry whose kernel panics and resets at once: the name counts its tries."""
    contents: dict[str, bytes | str] = {
        "/loader/entries/panic+2.conf": f"linux /vmlinuz\noptions {CMDLINE} panic=-1\n",
        "/vmlinuz": (harness.build_directory / "linux-guest/vmlinuz").read_bytes(),
    }
    image = harness.image(
        boot_tries=9, default_entry="panic.conf", additions=files(harness, contents)
    )
    left_out = r"^zpp: no hypervisor: all tries of this loader entry failed$"
    request = replace(harness.request(PC, image), expect=(left_out, r"(?s:Kernel panic.*){3}"))
    serial = harness.boot(request, PC.emulator).serial
    assert serial.count(RUNS) == 2
    assert reasons(serial) == [("1", "9")]  # the third boot is the entry's
    first, second, third = serial.split("BdsDxe: starting")[1:4]
    assert RUNS in first
    assert RUNS in second
    assert "all tries" in third
    assert "cannot count the boot" not in serial


def test_hang(harness: Harness) -> None:
    """The reset button ends it; the menu turns the hypervisor on again, counting from 0."""
    image = harness.image(kernel=kernel(harness, Ending.HANG), boot_tries=1, menu_timeout=1)

    def reset(qmp: Qmp) -> None:
        qmp.command("system_reset")

    def start_again(qmp: Qmp) -> None:
        for key in ("h", "ret"):
            qmp.command("send-key", keys=[{"type": "qcode", "data": key}])

    again = rf"(?s:{LEFT_OUT}.*zpp boot menu.*{RUNS}.*zpp-word:kernel)"
    request = replace(harness.request(PC, image), expect=(again,))
    serial = boot_with(
        harness,
        request,
        ("zpp-word:kernel", reset),
        ("zpp-word:kernel", reset),
        ("Hypervisor: off", start_again),
    ).serial
    assert serial.count(RUNS) == 2
    first, second, third = serial.split("zpp boot menu")[1:4]
    assert RUNS in first
    assert "Hypervisor: off" in second
    assert "the last 1 boot with it did not complete" in second
    assert RUNS not in second
    assert RUNS in third


def variable_store(harness: Harness, data: bytes, attributes: int) -> Path:
    """A firmware descriptor whose variables have a ZppBootRecord."""
    record: dict[str, object] = {
        "name": "ZppBootRecord", "guid": ZPP, "attr": attributes, "data": data.hex()
    }  # fmt: skip
    return firmware_boot.installed().with_variables(harness.folder, [record])


def record(boots: int, state: int) -> bytes:
    """As in zpp/boot_record.h."""
    return bytes((1, boots, state)) + bytes(13)


@pytest.mark.parametrize(
    ("data", "attributes", "line", "starts"),
    [
        (b"\x01\x02\x03", 3, "zpp: the variable ZppBootRecord is not valid; failed boots", True),
        (record(3, 1), 7, "zpp: no hypervisor: the last 3 boots with it did not complete", False),
    ],
    ids=["wrong size and attributes", "left out long ago"],
)
def test_variable(harness: Harness, data: bytes, attributes: int, line: str, starts: bool) -> None:
    image = harness.image(kernel=kernel(harness))
    request = replace(
        harness.request(PC, image), firmware=variable_store(harness, data, attributes)
    )
    serial = harness.run_to_power_off(request, PC.emulator)
    assert line in serial
    assert "cannot write the variable" not in serial
    assert (RUNS in serial) is starts
    assert said(serial) == ["kernel"]


def test_read_only_medium(harness: Harness) -> None:
    """The boot is not counted in the name, and continues."""
    contents: dict[str, bytes | str] = {
        "/loader/entries/a+3.conf": "efi /a.efi\n",
        "/a.efi": word_program("a", Ending.POWER_OFF),
    }
    image = harness.folder / "a.iso"
    options = ResolvedOptions(
        image,
        build_directory=harness.build_directory,
        default_entry="a.conf",
        files=files(harness, contents),
        table=Table.ISO,
        minimal=True,
    )
    make_image(options)
    request = replace(harness.request(PC, image), medium=Medium.OPTICAL)
    result = harness.boot(request, PC.emulator)
    assert result.reason is ExitReason.POWER_OFF
    assert re.search(
        r"zpp: cannot count the boot in the name of \\loader\\entries\\a\+3.conf: \w", result.serial
    )
    assert RUNS in result.serial
    assert said(result.serial) == ["a"]
