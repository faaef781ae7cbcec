"""zpp.ko with client=1 reads the hypervisor that ZppBoot started, and leaves it in place."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cpio
import pytest
from guest_python import zpp_image
from harness import CMDLINE, EPYC, TIME_LIMIT, Harness, Pc, qemu_pc
from test_crash import address_of, broken_harness
from test_linux_loader import (
    ALREADY_RUNNING,
    EBUSY,
    ENODEV,
    VTX_PC,
    Step,
    assert_bare,
    assert_on_zpp,
    guest_image,
    run,
    steps_of,
)

from efi_image.cli.main import main

BOTH = "not loaded: client=1 launches nothing, and keep=1 does; use only one of them"
LEFT_OUT = "zpp: no hypervisor: the last 1 boot with it did not complete"
EINVAL, EPROTONOSUPPORT = 22, 93
AMDV_PC = qemu_pc(EPYC, 4)


def run_on_zpp(harness: Harness, pc: Pc, kernel: str, steps: str) -> list[Step]:
    """Boots the guest on the hypervisor and runs the steps."""
    image = guest_image(harness, kernel, f"zpp.steps={steps}", hypervisor=True)
    return steps_of(harness.run_to_power_off(harness.request(pc, image), pc.emulator), pc, steps)


def counts(step: Step) -> dict[tuple[int, int], int]:
    """(CPU, exit reason) → VM exits."""
    rows = [line.split() for line in step.all(r"exits: (\d.*)")]
    return {(int(cpu), int(reason, 16)): int(count) for cpu, reason, count in rows}


def assert_shown(
    folder: Path, state: Step, exits: Step, log: Step, pc: Pc, capsys: pytest.CaptureFixture[str]
) -> None:
    """zpp-image shows the guest's files, copied to this machine."""
    copy = folder / "zpp"
    copy.mkdir()
    for step, name, prefix in ((state, "state", "state"), (exits, "exits", "exits"),
                               (log, "log", "core")):  # fmt: skip
        lines = step.all(f"{prefix}: (.*)")
        (copy / name).write_text("".join(f"{line}\n" for line in lines))
    capsys.readouterr()
    assert main(["status", str(copy), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["vendor"], status["cpu_count"]) == (pc.vendor, pc.cpus)
    assert [cpu["state"] for cpu in status["cpus"]] == ["virtualized"] * pc.cpus
    assert main(["counters", str(copy), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)["exits"]
    assert "CPUID" in [row["name"] for row in counted]
    assert sum(row["count"] for row in counted) == sum(cpu["exits"] for cpu in status["cpus"])
    assert main(["log", str(copy)]) == 0
    assert capsys.readouterr().out == (copy / "log").read_text()


@pytest.mark.parametrize(
    ("pc", "kernel"), [(AMDV_PC, "newest"), (AMDV_PC, "oldest"), (VTX_PC, "newest")], ids=str
)
def test_client_reads_the_hypervisor_under_linux(
    harness: Harness, pc: Pc, kernel: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under lockdown as well, which closes /dev/mem."""
    steps = (
        "load,both,client,modules,state,corelog,exits,offline,state,online,cpus,"
        "lockdown,state,corelog,exits,unload,cpus"
    )
    (load, both, client, modules, state, log, exits, _offline, without, _online, cpus,
     lockdown, state_again, log_again, exits_again, unload, last) = run_on_zpp(
        harness, pc, kernel, steps)  # fmt: skip
    assert (load.error, load.log[-1]) == (EBUSY, ALREADY_RUNNING)
    assert both.error == EINVAL
    assert both.log == [BOTH]
    assert client.error == 0
    assert client.log == ["loaded: /sys/kernel/debug/zpp shows the hypervisor that already runs"]
    assert modules.all("module: (zpp)") == ["zpp"]

    said = state.all(r"state: (.*)")
    assert said[:2] == ["version 0.1.0", f"cpus {pc.cpus}"]
    assert re.fullmatch(r"pages \d{3,}", said[2])
    assert said[3] == f"uses {'AMD-V' if pc.vendor == 'AMD-V' else 'VT-x'}"
    rows = dict(re.findall(r"^cpu (\d+) (.*)$", "\n".join(said), re.MULTILINE))
    assert sorted(rows.values()) == [f"index {index}" for index in range(pc.cpus)]
    last_cpu = str(pc.cpus - 1)
    assert f"cpu {last_cpu} offline" in without.all(r"state: (.*)")
    assert state_again.all(r"state: (.*)") == said

    started = [f"zpp: CPU {cpu} \\(APIC ID \\d+\\) virtualized with {pc.vendor}"
               for cpu in range(pc.cpus)]  # fmt: skip
    for step in (log, log_again):
        lines = "\n".join(step.all(r"core: (.*)"))
        assert all(len(re.findall(line, lines)) == 1 for line in started)
    cpuid = 0x72 if pc.vendor == "AMD-V" else 0xA
    before, after = counts(exits), counts(exits_again)
    for cpu in range(pc.cpus):
        assert 0 < before[cpu, cpuid] < after[cpu, cpuid]

    assert_shown(harness.folder, state_again, exits_again, log_again, pc, capsys)
    assert lockdown.all(r"lockdown: (.*)") == ["none integrity [confidentiality]"]
    assert lockdown.all(r"/dev/mem (.*)") == ["before: read", "after: refused"]
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert unload.log == ["unloaded: the hypervisor stays"]
    assert_on_zpp(cpus, pc)
    assert_on_zpp(last, pc)


def test_machine_without_zpp(harness: Harness) -> None:
    bare, client, last = run(harness, AMDV_PC, "newest", "cpus,client,cpus")
    assert client.error == ENODEV
    assert client.log[-1] == (
        "not loaded: zpp does not run on this machine, so client=1 has nothing to read"
    )
    assert_bare(last, AMDV_PC, bare)


def test_hypervisor_that_the_module_loaded(harness: Harness) -> None:
    """A second load as a client reads the hypervisor of the first, whose module is gone."""
    _load, client, state, unload, cpus = run(
        harness, AMDV_PC, "newest", "load,client,state,unload,cpus"
    )
    assert client.error == 0
    assert f"cpus {AMDV_PC.cpus}" in state.all(r"state: (.*)")
    assert unload.log == ["unloaded: the hypervisor stays"]
    assert_on_zpp(cpus, AMDV_PC)


def with_other_version(core: bytes, symbols: Path, function: str) -> bytes:
    """The core that calls itself zpp 0.2.0."""
    version, other = (0x000100).to_bytes(4, "little"), (0x000200).to_bytes(4, "little")
    start = address_of(symbols, function)
    place = core.index(version, start, start + 0x400)
    return core[:place] + other + core[place + len(other) :]


def test_hypervisor_of_another_version(harness: Harness) -> None:
    other = broken_harness(harness, "zpp::emulate_hypercall(", with_other_version)
    guests = "linux-loader"
    (other.build_directory / guests).symlink_to(harness.build_directory / guests)
    client, modules = run_on_zpp(other, AMDV_PC, "newest", "client,modules")
    assert client.error == EPROTONOSUPPORT
    assert client.log[-1] == (
        "not loaded: the hypervisor is zpp 0.2.0 with interface 1, but this module is for 0.1.0 "
        "with interface 1 (load the module of the hypervisor's build)"
    )
    assert modules.all("module: (zpp)") == []


def test_completed_boots_are_not_counted(harness: Harness) -> None:
    """zpp-image itself runs in the guest. The first boot reports that it completed, the second does
    not, so the third is without the hypervisor."""
    pc = qemu_pc(EPYC, 2)
    build = harness.build_directory / "linux-loader/newest"
    initrd = harness.folder / "initrd.img"
    initrd.write_bytes(
        (build / "initrd.img").read_bytes() + cpio.archive(zpp_image(harness.folder))
    )
    steps = "tool,client,tool,first,lockdown,booted,restart"
    image = harness.image(
        kernel=build / "vmlinuz",
        initrd=initrd,
        cmdline=f"{CMDLINE} zpp.steps={steps}",
        boot_tries=1,
    )
    serial = harness.run_to_power_off(
        replace(harness.request(pc, image), memory=1024, timeout=3 * TIME_LIMIT), pc.emulator
    )
    first, second, third = serial.split("zpp-guest: Linux ")[1:]
    without, module = first.split("step: client")
    assert without.count("zpp.ko: is not loaded, or shows nothing; load zpp.ko with") == 3
    assert f"status: zpp 0.1.0, AMD-V, {pc.cpus} CPUs, " in module
    assert re.search(r"^counters: CPUID +0x72 ", module, re.MULTILINE)
    assert len(re.findall(r"^log: zpp: CPU \d .* virtualized with AMD-V$", module, re.M)) == pc.cpus
    assert "booted: this boot completed; boots counted until now: 1\n" in module
    assert "once more: no boot is counted: nothing to do\n" in module
    assert f"status: zpp 0.1.0, AMD-V, {pc.cpus} CPUs, " in second
    assert "booted:" not in second
    assert LEFT_OUT in second
    assert "status: zpp 0.1.0" not in third
    assert "booted: zpp-image: zpp.ko: is not loaded" in third
    assert serial.count(LEFT_OUT) == 1
