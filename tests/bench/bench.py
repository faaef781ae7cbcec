"""Measures what zpp costs and prints JSON: `make bench`.

    bench.py BUILD_FOLDER EDK2_FOLDER TOOLCHAIN [--only image|write]

Ticks are the TSC's. With one CPU a tick is an instruction and every run is the same, on Bochs and
on QEMU with -icount; with more CPUs ticks include waiting, so Linux is booted a few times and the
median counts. Seconds are the clock's: let nothing else run.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from counters import NoCounters, exits, qemu_arguments
from harness import HASWELL, RYZEN, Harness
from image_bench import measure_images
from measure import BenchError, Measure, say
from write_bench import measure_writes

from efi_image.emulator import Debug, EmulatorKind, RunRequest, choose
from efi_image.errors import ZppError

ROOT = Path(__file__).resolve().parents[2]
LINUX_RUNS = 3
BOOT_RUNS = 16
MOST_CPUS = 4
MEMORY = 512  # MiB


@dataclass(frozen=True)
class Platform:
    """Where something is measured, and how many instructions a CPUID exit may add there."""

    name: str
    emulator: EmulatorKind
    model: str = ""
    cpuid_goal: float | None = None
    public: bool = False  # public hypervisors were measured there

    def figures(self, public: str) -> str:
        return public if self.public else ""


VTX = Platform("VT-x on Bochs", EmulatorKind.BOCHS, HASWELL, 100, public=True)
AMDV = Platform("AMD-V on Bochs", EmulatorKind.BOCHS, RYZEN, 120)
# whose AMD-V does not save the next RIP: the core decodes every instruction that it steps over
AMDV_QEMU = Platform("AMD-V on QEMU", EmulatorKind.QEMU)


def main() -> int:
    build, edk2, toolchain = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    only = sys.argv[5] if sys.argv[4:5] == ["--only"] else ""
    with tempfile.TemporaryDirectory(prefix="zpp-bench-") as folder:
        harness = Harness(build.absolute(), Path(folder), ROOT / "out/test-logs/bench.log")
        rows: list[Measure] = []
        code = 0
        try:
            if only not in {"image", "write"}:
                rows.extend(measure(harness, compile_program(Path(folder), edk2, toolchain)))
            if only != "write":
                rows.extend(measure_images(harness.build_directory, Path(folder)))
            if only != "image":
                rows.extend(measure_writes(Path(folder)))
        except (ZppError, BenchError, NoCounters) as error:
            print(f"bench: {error}", *getattr(error, "details", ()), sep="\n", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            say("interrupted; what was measured follows")
            code = 130
    print(json.dumps([{**asdict(row), "reached": row.reached} for row in rows], indent=2))
    return code


def measure(harness: Harness, program: Path) -> Iterator[Measure]:
    yield from times()
    yield from image_making(harness)
    for platform in (VTX, AMDV):
        yield from exit_costs(harness, program, platform)
        yield from launch_costs(harness, program, platform)
        yield from linux_costs(harness, platform)
    yield from exit_costs(harness, program, AMDV_QEMU)
    yield from boot_time(harness)
    yield from exit_counts(harness)


# ---- times and memory of the tools


def times() -> Iterator[Measure]:
    say("build times")
    yield Measure("set-up, when all is there", "s", seconds_of("make", "setup"), 2)
    scratch = ROOT / "out/bench"
    build = ("make", f"-j{os.cpu_count()}", "all", f"OUT={scratch.relative_to(ROOT)}")
    shutil.rmtree(scratch, ignore_errors=True)
    yield Measure("clean build", "s", seconds_of(*build), 60)
    source = ROOT / "hypervisor/src/core/main.cpp"
    os.utime(source)
    yield Measure("build after touching a core file", "s", seconds_of(*build), 10)
    yield Measure("build with nothing to do", "s", seconds_of(*build))
    shutil.rmtree(scratch, ignore_errors=True)


def seconds_of(*command: str) -> float:
    started = time.monotonic()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return round(time.monotonic() - started, 2)


def image_making(harness: Harness) -> Iterator[Measure]:
    say("zpp-image make")
    guest = harness.build_directory / "linux-guest"
    command = [
        str(Path(sys.executable).with_name("zpp-image")),
        *("make", str(harness.folder / "bench.img"), "--build-dir", str(harness.build_directory)),
        *("--kernel", str(guest / "vmlinuz"), "--initrd", str(guest / "initrd.img")),
    ]
    started = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=_SILENT)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise BenchError(f"zpp-image make failed with status {status}")
    yield Measure("zpp-image make, whole process", "s", round(time.monotonic() - started, 3))
    yield Measure("zpp-image make, peak memory", "MB", round(usage.ru_maxrss / 1024, 1))


_SILENT = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


# ---- what the core costs


def exit_costs(harness: Harness, program: Path, platform: Platform) -> Iterator[Measure]:
    say(f"exits, {platform.name}")
    on = ticks(harness, program, platform, 1, hypervisor=True)
    off = ticks(harness, program, platform, 1, hypervisor=False)
    for key, what, goal, public in (
        ("cpuid_plain", "a CPUID exit, plain leaf", platform.cpuid_goal, "253, 262, 282"),
        ("cpuid_changed", "a CPUID exit, changed leaf", platform.cpuid_goal, "253, 262, 282"),
        ("cpuid_general", "a CPUID exit, general handler", None, ""),
        ("ipi", "an IPI", None, ""),
        ("eoi", "an EOI", None, ""),
    ):
        name = f"instructions added by {what}, {platform.name}"
        yield Measure(name, "ticks", on[key] - off[key], goal, platform.figures(public))
    yield Measure(f"a hypercall, {platform.name}", "ticks", on["hypercall"])


def launch_costs(harness: Harness, program: Path, platform: Platform) -> Iterator[Measure]:
    say(f"load and launch, memory, {platform.name}")
    numbers = range(1, MOST_CPUS + 1)
    on = [ticks(harness, program, platform, cpus, hypervisor=True) for cpus in numbers]
    off = [ticks(harness, program, platform, cpus, hypervisor=False) for cpus in numbers]
    for cpus, with_, without in zip(numbers, on, off, strict=True):
        goal = 5e6 + 2e6 * (cpus - 1)
        name = f"load and launch, {cpus} CPUs, {platform.name}"
        public = platform.figures("23 M" if cpus == 1 else "")
        yield Measure(name, "ticks", with_["start"] - without["start"], goal, public)
    pages = [values["pages"] for values in on]
    each = round((pages[-1] - pages[0]) / (MOST_CPUS - 1), 1)
    one, more = f"with 1 CPU, {platform.name}", f"for each further CPU, {platform.name}"
    yield Measure(f"memory kept {one}", "pages", pages[0], 256 + 16, platform.figures("1107 + 576"))
    yield Measure(f"memory kept {more}", "pages", each, 16, platform.figures("576"))


def ticks(
    harness: Harness, program: Path, platform: Platform, cpus: int, *, hypervisor: bool
) -> dict[str, int]:
    image = harness.program_image(program, hypervisor=hypervisor)
    request = RunRequest(image, cpus=cpus, expect=("ticks: done",))
    serial = deterministic(harness, platform, request)
    return {name: int(value) for name, value in re.findall(r"^ticks: (\w+) (\d+)$", serial, re.M)}


# ---- what Linux notices


def linux_costs(harness: Harness, platform: Platform) -> Iterator[Measure]:
    for cpus, runs, goal, public in (
        (1, 1, 0.5, "+0.2, +3.0"),
        (MOST_CPUS, LINUX_RUNS, 2.0, "+9.6"),
    ):
        say(f"Linux with {cpus} CPUs, bare and on zpp, {platform.name}")
        bare = statistics.median(
            linux(harness, platform, cpus, hypervisor=False) for _ in range(runs)
        )
        held = statistics.median(
            linux(harness, platform, cpus, hypervisor=True) for _ in range(runs)
        )
        name = f"Linux to power-off, {cpus} CPUs, {platform.name}"
        yield Measure(f"{name}, bare", "ticks", bare)
        yield Measure(f"{name}, on zpp", "ticks", held)
        percent = round((held / bare - 1) * 100, 2)
        wanted = goal if platform.public else None
        yield Measure(f"{name}, added", "%", percent, wanted, platform.figures(public))


def linux(harness: Harness, platform: Platform, cpus: int, *, hypervisor: bool) -> int:
    image = harness.linux_image("zpp.ticks=1", hypervisor=hypervisor)
    found = re.search(
        r"^TSC (\d+)$", deterministic(harness, platform, RunRequest(image, cpus=cpus)), re.M
    )
    if found is None:
        raise BenchError(f"Linux printed no TSC; see {harness.log}")
    return int(found[1])


def boot_time(harness: Harness) -> Iterator[Measure]:
    """From the start of the emulator to init's first line, bare and on zpp, each first in turn."""
    say("boot time on QEMU")
    pairs = []
    for run in range(BOOT_RUNS):
        seen = {held: until_init(harness, hypervisor=held) for held in (run % 2 == 1, run % 2 == 0)}
        pairs.append((seen[False], seen[True]))
    for index, (what, goal) in enumerate((("boot to init", 1.05), ("its CPU time", None))):
        name = f"{what}, {MOST_CPUS} CPUs, {AMDV_QEMU.name}"
        bare = statistics.median(pair[0][index] for pair in pairs)
        held = statistics.median(pair[1][index] for pair in pairs)
        ratio = statistics.median(pair[1][index] / pair[0][index] for pair in pairs)
        yield Measure(f"{name}, bare", "s", round(bare, 2))
        yield Measure(f"{name}, on zpp", "s", round(held, 2))
        yield Measure(f"{name}, ratio", "", round(ratio, 3), goal)


def until_init(harness: Harness, *, hypervisor: bool) -> tuple[float, float]:
    """Seconds of the clock, and of all CPUs that worked for it; others' load shows less there."""
    image = harness.linux_image(hypervisor=hypervisor)
    request = RunRequest(image, cpus=MOST_CPUS, expect=(r"^zpp-guest: Linux",))
    emulator = choose(AMDV_QEMU.emulator)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = harness.boot_unchecked(request, emulator).require().seconds
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def exit_counts(harness: Harness) -> Iterator[Measure]:
    """Of a whole boot to power-off, on all CPUs."""
    say("exits of a Linux boot on QEMU")
    file = harness.folder / "memory"
    debug = Debug(extra=qemu_arguments(file, MEMORY))
    request = RunRequest(harness.linux_image(), cpus=MOST_CPUS, memory=MEMORY, debug=debug)
    harness.boot_unchecked(request, choose(AMDV_QEMU.emulator)).require()
    for reason, count in exits(file, MOST_CPUS).most_common():
        name = f"exits of a Linux boot, {MOST_CPUS} CPUs, {AMDV_QEMU.name}, {reason}"
        yield Measure(name, "exits", count)


def deterministic(harness: Harness, platform: Platform, request: RunRequest) -> str:
    request = replace(request, cpu_model=platform.model, debug=Debug(deterministic=True))
    return harness.boot_unchecked(request, choose(platform.emulator)).require().serial


def compile_program(folder: Path, edk2: Path, toolchain: Path) -> Path:
    target = folder / "ticks.efi"
    include = edk2.absolute() / "MdePkg/Include"
    flags = (
        "--target=x86_64-unknown-windows -std=c17 -O2 -Wall -Wextra -Werror -ffreestanding"
        " -mno-red-zone -fno-stack-protector -fshort-wchar -nostdlib -fuse-ld=lld"
        " -Wl,-subsystem:efi_application,-entry:efi_main,-dynamicbase"
    ).split()
    includes = [f"-I{ROOT / 'hypervisor/include'}", f"-isystem{include}", f"-isystem{include}/X64"]
    source = str(ROOT / "tests/bench/ticks.c")
    command = [str(toolchain / "clang"), *flags, *includes, source, "-o", str(target)]
    if subprocess.run(command, check=False).returncode != 0:
        raise BenchError("tests/bench/ticks.c does not compile")
    return target


if __name__ == "__main__":
    sys.exit(main())
