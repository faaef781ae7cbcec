"""The Windows driver takes every CPU of a machine with VT-x or AMD-V.

There is no Windows here: the functions it calls are ZppWindowsTest's, on UEFI, which maps it where
Windows would. The driver is the file as it was built, and the core inside is the real one;
ZppGuestTest then looks at the machine from the inside.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from lab import EPYC, HASWELL, RYZEN, Lab, Pc, qemu

from efi_image.build.options import Addition
from efi_image.config.environment import load

VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$|^FAIL: the driver.*$|^!!!! X64 Exception.*$"
EXPECTED = {"Intel VT-x": "vtx", "AMD-V": "amdv"}


@pytest.mark.parametrize(
    "pc", [Pc(HASWELL, 4), Pc(RYZEN, 2, vendor="AMD-V"), qemu(EPYC, 4), qemu(EPYC, 1)], ids=str
)
def test_driver_on_a_machine(lab: Lab, pc: Pc) -> None:
    if "windows" not in load().build_drivers:
        pytest.skip("BUILD_DRIVERS does not name windows")
    build = lab.build_directory
    image = lab.image(
        kernel=build / "ZppWindowsTest.efi",
        cmdline=f"expect={EXPECTED[pc.vendor]} cpus={pc.cpus}",
        hypervisor=False,
        additions=(
            Addition(build / "zpp_loader.sys", "EFI/zpp/zpp_loader.sys"),
            Addition(build / "ZppGuestTest.efi", "EFI/zpp/guest.efi"),
        ),
    )
    serial = lab.boot(replace(lab.on(pc, image), expect=(VERDICT,)), pc.engine).serial
    starts = re.findall(
        r"^Result: (.*)\nDriverEntry: (.*)$", serial.replace("\r", ""), re.MULTILINE
    )
    s = "s" if pc.cpus > 1 else ""
    nothing, all_held = f"held: 0 of {pc.cpus}", f"held: {pc.cpus} of {pc.cpus}"
    assert starts == [
        (
            "no hypervisor: Windows did not let the loader run on every CPU",
            f"C000000D, Success; left: 0 pool, 0 handles, memory 0; {nothing}",
        ),
        (
            f"zpp holds {pc.cpus} CPU{s} with {pc.vendor}",
            f"C00002DE, Success; left: 0 pool, 0 handles, memory 1; {all_held}",
        ),
        (
            "zpp holds this machine already",
            f"C000010E, Success; left: 0 pool, 0 handles, memory 0; {all_held}",
        ),
    ], serial
    assert "ZPP-TEST: PASS" in serial, serial
