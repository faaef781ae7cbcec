"""The Windows driver launches the hypervisor on every CPU, with VT-x and with AMD-V.

Without Windows: ZppWindowsTest implements the functions that the driver calls, on UEFI, and maps
the driver where Windows would. The driver and its core are the built files, unchanged. Afterwards
ZppGuestTest checks the machine from inside the guest.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from harness import EPYC, HASWELL, RYZEN, Harness, Pc, qemu_pc

from efi_image.build.options import Addition
from efi_image.config.environment import load

VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$|^FAIL: the driver.*$|^!!!! X64 Exception.*$"
EXPECTED = {"Intel VT-x": "vtx", "AMD-V": "amdv"}


@pytest.mark.parametrize(
    "pc",
    [Pc(HASWELL, 4), Pc(RYZEN, 2, vendor="AMD-V"), qemu_pc(EPYC, 4), qemu_pc(EPYC, 1)],
    ids=str,
)
def test_driver_on_a_machine(harness: Harness, pc: Pc) -> None:
    if "windows" not in load().build_drivers:
        pytest.skip("BUILD_DRIVERS does not name windows")
    build = harness.build_directory
    image = harness.image(
        kernel=build / "ZppWindowsTest.efi",
        cmdline=f"expect={EXPECTED[pc.vendor]} cpus={pc.cpus}",
        hypervisor=False,
        additions=(
            Addition(build / "zpp_loader.sys", "EFI/zpp/zpp_loader.sys"),
            Addition(build / "ZppGuestTest.efi", "EFI/zpp/guest.efi"),
        ),
    )
    serial = harness.boot(
        replace(harness.request(pc, image), expect=(VERDICT,)), pc.emulator
    ).serial
    starts = re.findall(
        r"^Result: (.*)\nDriverEntry: (.*)$", serial.replace("\r", ""), re.MULTILINE
    )
    s = "s" if pc.cpus > 1 else ""
    none, every = f"virtualized: 0 of {pc.cpus}", f"virtualized: {pc.cpus} of {pc.cpus}"
    assert starts == [
        (
            "no hypervisor: Windows did not let the loader run on every CPU",
            f"C000000D, Success; not released: 0 pool, 0 handles, memory 0; {none}",
        ),
        (
            f"zpp runs on {pc.cpus} CPU{s} with {pc.vendor}",
            f"C00002DE, Success; not released: 0 pool, 0 handles, memory 1; {every}",
        ),
        (
            "zpp is already running on this machine",
            f"C000010E, Success; not released: 0 pool, 0 handles, memory 0; {every}",
        ),
    ], serial
    assert "ZPP-TEST: PASS" in serial, serial
