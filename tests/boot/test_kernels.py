"""Debian's kernels with 4 CPUs on both emulators: on top of zpp, and with zpp.ko loaded into them.

`make test` boots the newest; `make kernel-boots` all of them.
"""

from __future__ import annotations

import os

import pytest
from harness import CMDLINE, EPYC, HASWELL, Harness, Pc, qemu_pc
from kernels import KERNELS_BY_NAME
from test_linux_loader import (
    EPERM,
    MORE_WORDS,
    assert_bare,
    assert_loaded,
    assert_on_zpp,
    run,
    steps_of,
)

PCS = (qemu_pc(EPYC, 4), Pc(HASWELL, 4))
KERNELS = os.environ.get("ZPP_KERNELS", "newest").split()
# zpp.ko cannot be built for a release without headers
WITH_HEADERS = [name for name in KERNELS if not KERNELS_BY_NAME[name].release]


@pytest.mark.parametrize("pc", PCS, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_on_zpp(harness: Harness, pc: Pc, kernel: str) -> None:
    """ZppBoot starts the kernel; a CPU goes offline and comes back."""
    guest = harness.build_directory / "linux-loader" / kernel
    steps = "cpus,offline,online,cpus,stress"
    image = harness.image(
        kernel=guest / "vmlinuz",
        initrd=guest / "initrd.img",
        cmdline=f"{CMDLINE} {MORE_WORDS} zpp.steps={steps} zpp.stress=2",
    )
    serial = harness.run_to_power_off(harness.request(pc, image), pc.emulator)
    cpus, _offline, online, again, stress = steps_of(serial, pc, steps)
    for step in (cpus, again):
        assert_on_zpp(step, pc)
    assert online.all(r"(CPU \d+ online)") == [f"CPU {pc.cpus - 1} online"]
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus


@pytest.mark.parametrize("pc", PCS, ids=str)
@pytest.mark.parametrize("kernel", WITH_HEADERS)
def test_kernel_loads_zpp(harness: Harness, pc: Pc, kernel: str) -> None:
    steps = "cpus,keep,cpus,unload,cpus,load,offline,online,cpus,stress"
    bare, keep, kept, unload, gone, load, _offline, online, again, stress = run(
        harness, pc, kernel, steps, "zpp.stress=2"
    )
    assert keep.error == 0
    assert_loaded(keep, pc)
    assert_on_zpp(kept, pc)
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert_bare(gone, pc, bare)
    assert load.error == EPERM
    assert online.all(r"(CPU \d+ online)") == [f"CPU {pc.cpus - 1} online"]
    assert_on_zpp(again, pc)
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus
