"""Measures `zpp-image make` beside the makers of FAT images that others use, and `cp`.

    bench.py … --only image

Every case runs in turn with each of the tools, some times, and the fastest run of each counts.
A default image has a budget: START times what Python needs to start and import IMPORTS. A ratio
"without start" leaves that time out.

mcopy looks for a free 8.3 alias from the first on for every name, so many names that collide take
it minutes: what is not done at LIMIT is stopped, and its row says so.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import BenchError, Measure, say

RUNS = 5
STARTS = 15
IMPORTS = "import click, dataclasses, pathlib, uuid, hashlib, enum"
START = 2.5  # times
SLOW = 30  # seconds; what takes longer runs once
LIMIT = 60  # seconds a run may take
MIB = 1 << 20
ZPP = str(Path(sys.executable).with_name("zpp-image"))
SPAWN = str(Path(__file__).with_name("spawn.py"))
OURS = "zpp-image"
MAKERS = (OURS, "mkfs.vfat+mcopy", "genimage")
MOST_MEMORY = 64  # MB
BULK = 1.3  # times cp


@dataclass(frozen=True)
class Case:
    """A folder whose files go onto an image of `size` MiB; `bulk`: cp is the one to beat."""

    name: str
    folder: Path
    size: int
    bulk: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a run took: seconds, CPU seconds, peak memory in MB; `late`: it was stopped."""

    seconds: float
    cpu: float
    memory: float
    late: bool = False


def measure_images(build: Path, folder: Path) -> Iterator[Measure]:
    """All rows; `build` is the folder of ZppBoot.efi, `folder` one for scratch files."""
    say("images, start")
    imports, version, image = fastest(
        [sys.executable, "-c", IMPORTS],
        [ZPP, "--version"],
        [ZPP, "make", str(folder / "start.img"), "--build-dir", str(build)],
    )
    for name, cost in (("imports", imports), ("--version", version), ("default image", image)):
        yield Measure(f"image, start: {name}", "s", round(cost.seconds, 3))
        yield Measure(f"image, start: {name}, CPU", "s", round(cost.cpu, 3))
    ratio = round(image.seconds / imports.seconds, 2)
    yield Measure("image, start: default image to imports", "ratio", ratio, START)
    ratio = round(image.cpu / imports.cpu, 2)
    yield Measure("image, start: default image to imports, CPU", "ratio", ratio, START)
    for case in cases(build, folder):
        say(f"images, {case.name}")
        yield from rows(case, imports, costs(case, folder / "out"))
        shutil.rmtree(case.folder)


def rows(case: Case, start: Cost, found: dict[str, Cost]) -> Iterator[Measure]:
    """The rows of one case."""
    for tool, cost in found.items():
        late = f", stopped after {LIMIT} s" if cost.late else ""
        name = f"image, {case.name}: {tool}"
        yield Measure(f"{name}{late}", "s", round(cost.seconds, 3))
        if not cost.late:
            limit = MOST_MEMORY if tool == OURS else None
            yield Measure(f"{name}, CPU", "s", round(cost.cpu, 3))
            yield Measure(f"{name}, peak memory", "MB", round(cost.memory, 1), limit)
    ours = found[OURS].seconds
    best = min(found[tool].seconds for tool in MAKERS if tool != OURS)
    name = f"image, {case.name}: zpp-image to"
    yield Measure(f"{name} the fastest other", "ratio", round(ours / best, 2), 1)
    without = max(ours - start.seconds, 0)
    yield Measure(f"{name} the fastest other, without start", "ratio", round(without / best, 2))
    cheapest = min((found[tool].cpu for tool in MAKERS[1:] if not found[tool].late), default=LIMIT)
    yield Measure(f"{name} the cheapest other, CPU", "ratio", round(found[OURS].cpu / cheapest, 2))
    goal = BULK if case.bulk else None
    copy = found["cp"].seconds
    yield Measure(f"{name} cp", "ratio", round(ours / copy, 2), goal)
    yield Measure(f"{name} cp, without start", "ratio", round(without / copy, 2))


# ---- what is put on the images


def cases(build: Path, folder: Path) -> Iterator[Case]:
    """The cases, each made when it is its turn."""
    yield Case("default image", default_files(build, folder / "default"), 64,
               options=("--build-dir", str(build)))  # fmt: skip
    yield Case("50 MB file", files(folder / "bulk", "file", 1, 50 * MIB), 128, bulk=True)
    for count in (2_000, 20_000):
        plain = files(folder / "many", "F{:05}.BIN", count, 2048)
        yield Case(f"{count} files", plain, 128)
        colliding = files(folder / "many", "module-{:05}-driver.bin", count, 2048)
        yield Case(f"{count} files whose aliases collide", colliding, 128)
    yield Case("500 MB in 10 files", files(folder / "bulk", "file{}", 10, 50 * MIB), 640, bulk=True)
    yield Case(
        "file of 4 GiB - 1", files(folder / "bulk", "file", 1, (1 << 32) - 1), 4608, bulk=True
    )


def default_files(build: Path, folder: Path) -> Path:
    """What the default image holds, for the other tools."""
    for name, target in (("ZppBoot.efi", "BOOT/BOOTX64.EFI"), ("ZppDxe.efi", "zpp/ZppDxe.efi")):
        path = folder / "EFI" / target
        path.parent.mkdir(parents=True)
        shutil.copyfile(build / name, path)
    (folder / "EFI/zpp/zpp.conf").write_bytes(b"hypervisor = on\n")
    return folder


def files(folder: Path, name: str, count: int, size: int) -> Path:
    """So many files of that size, a thousand in a folder."""
    block = os.urandom(min(size, MIB))
    for number in range(count):
        path = folder / f"D{number // 1000:02}" / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for left in range(size, 0, -len(block)):
                file.write(block[:left])
    return folder


# ---- the tools


def costs(case: Case, out: Path) -> dict[str, Cost]:
    """Tool → its fastest run; the tools run in turn."""
    found: dict[str, Cost] = {}
    for _ in range(RUNS):
        for tool in (*MAKERS, "cp"):
            if tool in found and found[tool].seconds > SLOW:
                continue
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            os.sync()
            cost = run(commands(tool, case, out))
            if tool not in found or cost.seconds < found[tool].seconds:
                found[tool] = cost
    shutil.rmtree(out)
    return found


def commands(tool: str, case: Case, out: Path) -> list[str]:
    """What the tool does, as one command."""
    source, image = shlex.quote(str(case.folder)), shlex.quote(str(out / "x.img"))
    if tool == OURS:
        options = case.options or ("--hypervisor", "none", "--add", f"{case.folder}:/D")
        return [ZPP, "make", str(out / "x.img"), *options]
    if tool == "cp":
        return ["cp", "-r", str(case.folder), str(out / "copy")]
    if tool == "genimage":
        return genimage(case, out)
    return ["sh", "-ec", f"truncate -s {case.size}M {image}; mkfs.vfat -F 32 {image};"
            f" exec mcopy -s -i {image} {source}/* ::/"]  # fmt: skip


def genimage(case: Case, out: Path) -> list[str]:
    """genimage with the same volume; its default image is a GPT image, as ours."""
    config = out / "genimage.cfg"
    text = (
        'image esp.vfat { vfat { extraargs = "-F 32" }'
        f' size = {case.size}M mountpoint = "/" }}\n'
    )
    if case.options:
        text += (
            'image x.img { hdimage { partition-table-type = "gpt" }'
            ' partition esp { partition-type-uuid = "U" image = "esp.vfat" } }\n'
        )
    config.write_text(text)
    places = {"rootpath": case.folder, "inputpath": out, "outputpath": out / "gi",
              "tmppath": out / "tmp"}  # fmt: skip
    words = [word for name, path in places.items() for word in (f"--{name}", str(path))]
    return ["genimage", "--loglevel", "0", "--config", str(config), *words]


def fastest(*commands: list[str]) -> list[Cost]:
    """The fastest of some runs of each command; the commands run in turn."""
    rounds = [[run(command) for command in commands] for _ in range(STARTS)]
    return [min(found, key=lambda cost: cost.seconds) for found in zip(*rounds, strict=True)]


def run(command: list[str]) -> Cost:
    """Run a command; raises BenchError if it fails."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    done = subprocess.run(
        [sys.executable, "-I", "-S", SPAWN, str(LIMIT), *command],
        env={**os.environ, "PATH": path, "MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"{shlex.join(command)} failed: {done.stderr.strip()}")
    if done.stdout.strip() == "late":
        return Cost(LIMIT, 0, 0, late=True)
    seconds, cpu, memory = map(float, done.stdout.split())
    return Cost(seconds, cpu, memory / 1024)
