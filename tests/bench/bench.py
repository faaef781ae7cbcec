"""Measures what zpp costs and prints JSON: `make bench`.

    bench.py BUILD_FOLDER EDK2_FOLDER TOOLCHAIN

Ticks are the TSC's on Bochs. With one CPU a tick is an instruction and every run is the same; with
more CPUs ticks include waiting, so Linux is booted a few times and the median counts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import Lab

from efi_image.engine import Debug, EngineKind, RunRequest, choose
from efi_image.errors import ZppError

ROOT = Path(__file__).resolve().parents[2]
LINUX_RUNS = 3
MOST_CPUS = 4


@dataclass(frozen=True)
class Measure:
    """A row of the result: the best figure of a public hypervisor on this rig, and our goal."""

    name: str
    unit: str
    value: float
    goal: float | None = None
    public: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal


def main() -> int:
    build, edk2, toolchain = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="zpp-bench-") as folder:
        lab = Lab(build.absolute(), Path(folder), ROOT / "out/test-logs/bench.log")
        try:
            program = compile_program(Path(folder), edk2, toolchain)
            rows = list(measure(lab, program))
        except (ZppError, BenchError) as error:
            print(f"bench: {error}", *getattr(error, "details", ()), sep="\n", file=sys.stderr)
            return 1
    print(json.dumps([{**asdict(row), "reached": row.reached} for row in rows], indent=2))
    return 0


class BenchError(Exception):
    """A measurement that gave no number."""


def measure(lab: Lab, program: Path) -> Iterator[Measure]:
    yield from times()
    yield from image_making(lab)
    yield from core_costs(lab, program)
    yield from linux_costs(lab)


# ---- times and memory of the tools


def times() -> Iterator[Measure]:
    say("build times")
    yield Measure("set-up, when all is there", "s", seconds_of("make", "setup"), 2)
    scratch = ROOT / "out/bench"
    build = ("make", f"-j{os.cpu_count()}", "all", f"OUT={scratch.relative_to(ROOT)}")
    shutil.rmtree(scratch, ignore_errors=True)
    yield Measure("clean build", "s", seconds_of(*build), 60)
    source = ROOT / "hypervisor/src/main.cpp"
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


def image_making(lab: Lab) -> Iterator[Measure]:
    say("zpp-image make")
    guest = lab.build_directory / "linux-guest"
    command = [
        str(Path(sys.executable).with_name("zpp-image")),
        *("make", str(lab.folder / "bench.img"), "--build-dir", str(lab.build_directory)),
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


def core_costs(lab: Lab, program: Path) -> Iterator[Measure]:
    say("CPUID exit, load and launch, memory")
    on = [ticks(lab, program, cpus, hypervisor=True) for cpus in range(1, MOST_CPUS + 1)]
    off = [ticks(lab, program, cpus, hypervisor=False) for cpus in range(1, MOST_CPUS + 1)]
    for kind in ("plain", "changed"):
        added = on[0][f"cpuid_{kind}"] - off[0][f"cpuid_{kind}"]
        name = f"instructions added by a CPUID exit, {kind} leaf"
        yield Measure(name, "ticks", added, 100, "253, 262, 282")
    yield Measure("a hypercall", "ticks", on[0]["hypercall"])
    launches = [with_ - without["start"] for with_, without in zip(starts(on), off, strict=True)]
    for cpus, launch in enumerate(launches, start=1):
        goal = 5e6 + 2e6 * (cpus - 1)
        public = "23 M" if cpus == 1 else ""
        yield Measure(f"load and launch, {cpus} CPUs", "ticks", launch, goal, public)
    pages = [values["pages"] for values in on]
    each = (pages[-1] - pages[0]) / (MOST_CPUS - 1)
    yield Measure("memory kept with 1 CPU", "pages", pages[0], 256 + 16, "1107 + 576")
    yield Measure("memory kept for each further CPU", "pages", round(each, 1), 16, "576")


def starts(values: list[dict[str, int]]) -> list[int]:
    return [value["start"] for value in values]


def ticks(lab: Lab, program: Path, cpus: int, *, hypervisor: bool) -> dict[str, int]:
    image = lab.program(program, hypervisor=hypervisor)
    serial = bochs(lab, RunRequest(image, cpus=cpus, expect=("ticks: done",)))
    return {name: int(value) for name, value in re.findall(r"^ticks: (\w+) (\d+)$", serial, re.M)}


def linux_costs(lab: Lab) -> Iterator[Measure]:
    for cpus, runs, goal, public in (
        (1, 1, 0.5, "+0.2, +3.0"),
        (MOST_CPUS, LINUX_RUNS, 2.0, "+9.6"),
    ):
        say(f"Linux with {cpus} CPUs, bare and on zpp")
        bare = statistics.median(linux(lab, cpus, hypervisor=False) for _ in range(runs))
        held = statistics.median(linux(lab, cpus, hypervisor=True) for _ in range(runs))
        yield Measure(f"Linux to power-off, {cpus} CPUs, bare", "ticks", bare)
        yield Measure(f"Linux to power-off, {cpus} CPUs, on zpp", "ticks", held)
        percent = round((held / bare - 1) * 100, 2)
        yield Measure(f"Linux to power-off, {cpus} CPUs, added", "%", percent, goal, public)


def linux(lab: Lab, cpus: int, *, hypervisor: bool) -> int:
    image = lab.linux("zpp.ticks=1", hypervisor=hypervisor)
    serial = bochs(lab, RunRequest(image, cpus=cpus))
    found = re.search(r"^TSC (\d+)$", serial, re.M)
    if found is None:
        raise BenchError(f"Linux printed no TSC; see {lab.log}")
    return int(found[1])


def bochs(lab: Lab, request: RunRequest) -> str:
    request = replace(request, debug=Debug(deterministic=True))
    return lab.attempt(request, choose(EngineKind.BOCHS)).require().serial


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


def say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
