"""zpp.ko loads the core into a running Linux: the oldest and the newest of Debian's kernels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from guest_log import SIGNATURE
from harness import CMDLINE, EPYC, HASWELL, RYZEN, Harness, Pc, qemu_pc
from test_linux import KNOWN_PROBLEMS

from efi_image.emulator import Machine

VERSION = f"{SIGNATURE} version 0.1.0"
# Rarely, QEMU 7.2 executes code while Linux patches it (an int3 before zpp is loaded): then Linux
# reboots.
MORE_WORDS = "panic=-1"
EACCES, EBUSY, ENODEV, EPERM = 13, 16, 19, 1
# the newest kernel reports these on the bare machines, too
NEW_PROBLEMS = (
    "Topology: leaf 0xb:2 Unknown domain type 3",
    "Failed to initialize policy for cpu:",
)
ALREADY_RUNNING = "not loaded: zpp is already running on this machine (client=1 only reads it)"
STRESS_SECONDS = 20  # of the guest's clock
# Linux's own use of 4 KiB pages varies by so many in 50 rounds. A leak of a page per CPU and round
# would be more.
PAGES_OF_NOISE = 180


@dataclass(frozen=True)
class Step:
    """A step of the guest (tests/guest/linux/init-loader) and the lines that it printed."""

    name: str
    lines: tuple[str, ...]

    def all(self, expression: str) -> list[str]:
        matches = (re.fullmatch(expression, line) for line in self.lines)
        return [match[1] for match in matches if match]

    @property
    def error(self) -> int:
        """The error number of the load."""
        (number,) = self.all(r"load: error (\d+)")
        return int(number)

    @property
    def log(self) -> list[str]:
        """The new lines of zpp in the kernel's log."""
        return self.all(r"log: zpp: (.*)")

    @property
    def hypervisors(self) -> dict[int, str]:
        """CPU → the hypervisor that a program sees there, "" for none."""
        seen = self.all(r"(CPU \d+: (?:no )?hypervisor.*)")
        pairs = (re.fullmatch(r"CPU (\d+): (?:no hypervisor|hypervisor (.+))", s) for s in seen)
        return {int(pair[1]): pair[2] or "" for pair in pairs if pair}


def run(
    harness: Harness, pc: Pc, kernel: str, steps: str, words: str = "", then: str = ""
) -> list[Step]:
    """Boots the guest without zpp and runs the steps. `then` are the steps of the kernel that the
    last step starts by kexec."""
    image = guest_image(harness, kernel, f"zpp.steps={steps} zpp.next={then} {words}", bool(then))
    request = harness.request(pc, image)
    serial = harness.run_bare_linux(request, pc.emulator, "zpp-guest: Linux ")
    return steps_of(serial, pc, steps, then)


def guest_image(
    harness: Harness, kernel: str, words: str, kexec: bool = False, *, hypervisor: bool = False
) -> Path:
    """An image of the guest; `words` are added to its command line."""
    guest = harness.build_directory / "linux-loader" / kernel
    return harness.image(
        kernel=guest / "vmlinuz",
        initrd=guest / ("initrd-kexec.img" if kexec else "initrd.img"),
        cmdline=f"{CMDLINE} {MORE_WORDS} {words}".strip(),
        hypervisor=hypervisor,
    )


def steps_of(serial: str, pc: Pc, steps: str, then: str = "") -> list[Step]:
    """The steps of a serial log: these, without a restart of Linux or complaints of it."""
    assert "zpp-guest: done" in serial
    starts = 2 if then else 1
    assert serial.count("zpp-guest: Linux ") == starts, "Linux restarted unexpectedly"
    assert serial.count(f"Linux sees {pc.cpus} CPUs") == starts
    problems = re.findall(r"^dmesg: (.*)$", serial, re.MULTILINE)
    fine = (*KNOWN_PROBLEMS, *NEW_PROBLEMS)
    assert [p for p in problems if not any(known in p for known in fine)] == []
    parts = re.split(r"^step: (\w+)$", serial, flags=re.MULTILINE)
    found = [
        Step(name, tuple(text.splitlines()))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    ]
    assert [step.name for step in found] == [*steps.split(","), *filter(None, then.split(","))]
    return found


def assert_on_zpp(step: Step, pc: Pc) -> None:
    assert step.hypervisors == dict.fromkeys(range(pc.cpus), VERSION)


def assert_bare(step: Step, pc: Pc, bare: Step) -> None:
    assert step.hypervisors == bare.hypervisors
    assert len(step.hypervisors) == pc.cpus
    assert VERSION not in step.hypervisors.values()


def assert_loaded(step: Step, pc: Pc, last: str = "loaded: the hypervisor runs on {} CPUs") -> None:
    lines = [
        re.fullmatch(r"CPU (\d+) \(APIC ID \d+\) virtualized with (.+)", line) for line in step.log
    ]
    assert {int(m[1]): m[2] for m in lines if m} == dict.fromkeys(range(pc.cpus), pc.vendor)
    assert last.format(pc.cpus) in step.log


VTX_PC = Pc(HASWELL, 4)
AMDV_PC = qemu_pc(EPYC, 4)
LA57_PC = qemu_pc(f"{EPYC},+la57", 4, Machine.PC)  # five-level paging


@pytest.mark.parametrize(
    ("pc", "kernel"),
    [(AMDV_PC, "oldest"), (LA57_PC, "newest"), (VTX_PC, "oldest"), (VTX_PC, "newest")],
    ids=str,
)
def test_load_stays_without_the_module(harness: Harness, pc: Pc, kernel: str) -> None:
    steps = "kernel,cpus,load,modules,cpus,load,offline,online,cpus,stress,cpus"
    about, bare, load, modules, cpus, again, offline, online, came, stress, last = run(
        harness, pc, kernel, steps, f"zpp.stress={STRESS_SECONDS}"
    )
    if pc is VTX_PC:
        assert about.all(r"meltdown: (.*)") == ["Mitigation: PTI"]
    if pc is LA57_PC:
        assert about.all(r"la57: (.*)") == [f"{pc.cpus} CPUs"]
    assert_bare(bare, pc, bare)
    assert load.error == EPERM
    assert_loaded(load, pc)
    assert modules.all("module: (zpp)") == []
    for step in (cpus, came, last):
        assert_on_zpp(step, pc)
    assert again.error == EBUSY
    assert again.log == [ALREADY_RUNNING]
    assert offline.all(r"(CPU \d+ offline)") == [f"CPU {pc.cpus - 1} offline"]
    assert online.all(r"(CPU \d+ online)") == [f"CPU {pc.cpus - 1} online"]
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus


def test_newer_protections_of_the_kernel(harness: Harness) -> None:
    """CET's indirect branch tracking and LASS are enabled in the kernel, not in the core."""
    pc = Pc("wildcat_lake", 2)
    steps = "kernel,cpus,keep,cpus,unload,cpus,load,offline,online,stress,cpus"
    about, bare, keep, kept, unload, gone, load, _offline, online, stress, last = run(
        harness, pc, "newest", steps, "zpp.stress=3"
    )
    for flag in ("ibt", "lass"):
        assert about.all(f"{flag}: (.*)") == [f"{pc.cpus} CPUs"]
    assert keep.error == 0
    assert_on_zpp(kept, pc)
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert_bare(gone, pc, bare)
    assert load.error == EPERM
    assert online.all(r"(CPU \d+ online)") == [f"CPU {pc.cpus - 1} online"]
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus
    assert_on_zpp(last, pc)


@pytest.mark.parametrize(
    ("pc", "kernel", "rounds"),
    [(AMDV_PC, "newest", 50), (AMDV_PC, "oldest", 50), (VTX_PC, "newest", 50)],
    ids=str,
)
def test_repeated_loads_leak_no_memory(harness: Harness, pc: Pc, kernel: str, rounds: int) -> None:
    bare, step, cpus, load, virtualized = run(
        harness, pc, kernel, "cpus,rounds,cpus,load,cpus", f"zpp.rounds={rounds}"
    )
    assert step.all(r"rounds: (.*)") == [f"{rounds} on {pc.cpus} CPUs"]
    assert step.all(r"(round \d+: .*)") == []
    (lost,) = step.all(r"pages lost: (-?\d+)")
    assert int(lost) < PAGES_OF_NOISE
    assert_bare(cpus, pc, bare)
    assert load.error == EPERM
    assert_on_zpp(virtualized, pc)


@pytest.mark.parametrize(
    ("pc", "kernel"), [(AMDV_PC, "newest"), (AMDV_PC, "oldest"), (VTX_PC, "newest")], ids=str
)
def test_module_that_is_kept(harness: Harness, pc: Pc, kernel: str) -> None:
    steps = "cpus,keep,modules,cpus,state,corelog,exits,offline,unload,online,cpus,unload,cpus"
    (bare, keep, modules, cpus, state, log, exits, _offline, refused, _online, came, unload,
     last) = run(harness, pc, kernel, steps)  # fmt: skip
    assert keep.error == 0
    assert_loaded(keep, pc)
    assert modules.all("module: (zpp)") == ["zpp"]
    assert_on_zpp(cpus, pc)
    assert state.all(r"state: (.*)")[:2] == ["version 0.1.0", f"cpus {pc.cpus}"]
    assert len(log.all(r"core: zpp: (CPU \d+ \(APIC ID \d+\) virtualized with .*)")) == pc.cpus
    counted = [line.split() for line in exits.all(r"exits: (\d.*)")]
    assert {int(cpu) for cpu, _reason, _count in counted} == set(range(pc.cpus))
    cpuid = "0x72" if pc.vendor == "AMD-V" else "0xa"
    assert all(int(count) > 0 for _cpu, reason, count in counted if reason == cpuid)
    # a CPU that is offline cannot be devirtualized
    assert refused.all(r"rmmod: (\d+)") == ["1"]
    assert_on_zpp(came, pc)
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert unload.log == ["unloaded: every CPU is devirtualized"]
    assert_bare(last, pc, bare)


def test_another_kernel_is_started(harness: Harness) -> None:
    """kexec: the module devirtualizes every CPU before it, including one that is offline."""
    pc = AMDV_PC
    bare, keep, virtualized, _offline, _kexec, cpus, stress, load, again = run(
        harness,
        pc,
        "newest",
        "cpus,keep,cpus,offline,kexec",
        "zpp.stress=2",
        "cpus,stress,load,cpus",
    )
    assert keep.error == 0
    assert_on_zpp(virtualized, pc)
    assert_bare(cpus, pc, bare)
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus
    assert load.error == EPERM
    assert_on_zpp(again, pc)


def test_bsp_goes_offline_and_online(harness: Harness) -> None:
    """Linux 6.1 can take the BSP offline on Intel CPUs; an NMI wakes it."""
    pc = Pc(HASWELL, 2)
    steps = "cpus,bspoff,load,bspon,keep,bspoff,unload,cpus,bspon,cpus,unload,cpus"
    (bare, _off, load, _on, keep, off, refused, one, on, both, unload, last) = run(
        harness, pc, "oldest", steps, "cpu0_hotplug"
    )
    assert load.error == EBUSY
    assert load.log[-1].startswith("not loaded: CPU 0 is offline, ")
    assert keep.error == 0
    assert off.all("(CPU 0 offline)")
    assert refused.all(r"rmmod: (\d+)") == ["1"]
    assert one.hypervisors == {1: VERSION}
    assert on.all("(CPU 0 online)")
    assert_on_zpp(both, pc)
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert_bare(last, pc, bare)


@pytest.mark.parametrize("pc", [qemu_pc(EPYC, 2), Pc(HASWELL, 2)], ids=str)
def test_programs_keep_their_segments(harness: Harness, pc: Pc) -> None:
    (step,) = run(harness, pc, "oldest", "ldt", "zpp.stress=4")
    assert sorted(step.all(r"ldt: CPU (\d+) kept it")) == [str(cpu) for cpu in range(pc.cpus)]
    assert step.all(r"(round \d+: .*)") == []


@pytest.mark.parametrize("pc", [AMDV_PC], ids=str)
def test_refused_loads_change_nothing(harness: Harness, pc: Pc) -> None:
    steps = "cpus,offline,load,online,kvm,load,nokvm,cpus,load,cpus"
    bare, _offline, offline, _online, _kvm, kvm, _nokvm, cpus, load, virtualized = run(
        harness, pc, "newest", steps
    )
    last = pc.cpus - 1
    assert offline.error == EBUSY
    assert offline.log[-1].startswith(f"not loaded: CPU {last} is offline, ")
    assert kvm.error == EBUSY
    assert kvm.log == [KVM.format("kvm_amd")]
    assert_bare(cpus, pc, bare)
    assert load.error == EPERM
    assert_on_zpp(virtualized, pc)


KVM = (
    "not loaded: KVM ({0}) is loaded, and two hypervisors cannot share a CPU (modprobe -r {0} kvm)"
)

# how spoil.ko disables virtualization on a CPU → the error and its reason
SPOILED = {
    "used": (EBUSY, "another hypervisor already uses this CPU's virtualization"),
    "locked": (
        EACCES,
        "the firmware has locked virtualization off (enable it in the firmware's setup)",
    ),
}


@pytest.mark.parametrize(
    ("pc", "kernel", "spoil", "cpu"),
    [
        (AMDV_PC, "newest", "used", 2),
        (AMDV_PC, "oldest", "used", 0),
        (VTX_PC, "newest", "used", 2),
        (Pc(RYZEN, 4, vendor="AMD-V"), "oldest", "locked", 1),
    ],
    ids=str,
)
def test_one_cpu_that_cannot_be_launched(
    harness: Harness, pc: Pc, kernel: str, spoil: str, cpu: int
) -> None:
    steps = "cpus,spoil,load,cpus,offline,online,stress,restore,load,cpus"
    bare, spoiled, refused, cpus, _offline, online, stress, _restored, load, virtualized = run(
        harness, pc, kernel, steps, f"zpp.spoil={spoil} zpp.cpu={cpu} zpp.stress=2"
    )
    assert spoiled.all(r"(CPU \d+) is spoiled") == [f"CPU {cpu}"]
    error, reason = SPOILED[spoil]
    where = f"CPU {cpu}: " if cpu else ""  # the first CPU is checked before the launch, for all
    assert (refused.error, refused.log[-1]) == (error, f"not loaded: {where}{reason}")
    assert_bare(cpus, pc, bare)
    assert online.all(r"(CPU \d+ online)") == [f"CPU {pc.cpus - 1} online"]
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus
    assert load.error == EPERM
    assert_on_zpp(virtualized, pc)


@pytest.mark.parametrize(
    "pc", [qemu_pc("EPYC,-svm", 2), Pc(f"{HASWELL},-vmx", 2)], ids=str
)  # fmt: skip
def test_cpu_without_virtualization(harness: Harness, pc: Pc) -> None:
    bare, load, cpus = run(harness, pc, "newest", "cpus,load,cpus")
    assert load.error == ENODEV
    assert load.log[-1] == "not loaded: this CPU has neither VT-x nor AMD-V"
    assert_bare(cpus, pc, bare)
