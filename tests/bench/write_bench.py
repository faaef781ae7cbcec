"""Measures `zpp-image write` beside dd and bmaptool on the same images.

    bench.py … --only write

The target is a loop device where that can be had (root, and the kernel's loop driver), else a plain
file; its blocks are there. The tools run in turn, some times; medians count, and of ratios the
median of those of each turn, as other work on the machine comes and goes. A stick is slower than
any disk below a loop device: what Python's start takes, and the further flushes that let nothing
boot before it is whole, count more here than there, so there are rows without the start, too.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_bench import MIB, MOST_MEMORY, ZPP, Cost, run
from measure import Measure, say

RUNS = 7
SIZE = 1024  # MiB
SPARE = 64  # MiB of the target behind the image
OURS, CHECKED, DD, BMAP = "zpp-image --no-verify", "zpp-image", "dd", "bmaptool"
AS_FAST = 1 / 0.95  # of the seconds of the fastest other


@dataclass(frozen=True)
class Case:
    """An image of SIZE MiB, of which so many MiB are data, in pieces of one of eight MiB."""

    name: str
    data: int


CASES = (Case("1 GiB of data", SIZE), Case("1 GiB, half of it holes", SIZE // 2))


def measure_writes(folder: Path) -> Iterator[Measure]:
    """All rows; `folder` is one for scratch files."""
    start = min((run([ZPP, "--version"]) for _ in range(5)), key=lambda cost: cost.seconds)
    for case in CASES:
        say(f"writes, {case.name}")
        image = make(case, folder)
        with target(folder) as (path, kind):
            turns = [turn(case, image, path) for _ in range(RUNS)]
            yield from rows(f"write, {case.name} to a {kind}", start.seconds, turns)
        image.unlink()


def rows(name: str, start: float, turns: list[dict[str, Cost]]) -> Iterator[Measure]:
    """The rows of one case."""
    for tool in turns[0]:
        costs = [each[tool] for each in turns]
        seconds = statistics.median(cost.seconds for cost in costs)
        cpu = statistics.median(cost.cpu for cost in costs)
        yield Measure(f"{name}: {tool}", "MiB/s", round(SIZE / seconds, 1))
        yield Measure(f"{name}: {tool}, CPU", "s", round(cpu, 3))
        limit = MOST_MEMORY if tool in {OURS, CHECKED} else None
        memory = max(cost.memory for cost in costs)
        yield Measure(f"{name}: {tool}, peak memory", "MB", round(memory, 1), limit)
    ratio = "seconds, zpp-image without reading back to the fastest other"
    pairs = [(each[OURS].seconds, min(each[tool].seconds for tool in (DD, BMAP))) for each in turns]
    found = statistics.median(ours / best for ours, best in pairs)
    yield Measure(f"{name}: {ratio}", "ratio", round(found, 3), AS_FAST)
    found = statistics.median(max(ours - start, 0) / best for ours, best in pairs)
    yield Measure(f"{name}: {ratio}, without start", "ratio", round(found, 3))
    found = statistics.median(each[CHECKED].seconds / each[OURS].seconds for each in turns)
    name = f"{name}: seconds, with reading back to without"
    yield Measure(name, "ratio", round(found, 3))


def make(case: Case, folder: Path) -> Path:
    """The image, with holes where there is no data."""
    image, block = folder / "write.img", os.urandom(MIB)
    every = SIZE // case.data
    with image.open("wb") as file:
        for number in range(0, SIZE, 8):
            if number // 8 % every == 0:
                file.seek(number * MIB)
                for _ in range(8):
                    file.write(block)
        file.truncate(SIZE * MIB)
    bmap = ["bmaptool", "create", "-o", str(image.with_suffix(".bmap")), str(image)]
    subprocess.run(bmap, check=True, capture_output=True)
    return image


@contextmanager
def target(folder: Path) -> Iterator[tuple[str, str]]:
    """Something to write to, and what it is."""
    file = folder / "target.img"
    with file.open("wb") as there:
        for _ in range(SIZE + SPARE):
            there.write(bytes(MIB))
    loop = attach(file)
    try:
        yield (loop, "loop device") if loop else (str(file), "file")
    finally:
        if loop:
            subprocess.run(["losetup", "-d", loop], check=True)
        file.unlink()


def attach(file: Path) -> str:
    """A loop device of the file, or ''."""
    if os.geteuid() != 0 or not shutil.which("losetup"):
        return ""
    command = ["losetup", "--find", "--show", "--direct-io=on", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def undisturbed() -> list[str]:
    """A prefix that lets other work of the machine come less between."""
    return ["chrt", "-r", "1"] if os.geteuid() == 0 and shutil.which("chrt") else []


def turn(case: Case, image: Path, path: str) -> dict[str, Cost]:
    """Tool → what it took, one after the other."""
    erase = ("--yes-erase", path) if path.startswith("/dev/") else ()
    ours = [ZPP, "write", str(image), path, *erase]
    bmap = str(image.with_suffix(".bmap"))
    if case.data < SIZE:  # bmaptool leaves what is in holes; so shall we
        ours.append("--skip-holes")
    commands = {
        DD: ["dd", f"if={image}", f"of={path}", "bs=4M", "oflag=direct", "conv=notrunc,fsync",
             "status=none"],
        BMAP: ["bmaptool", "-q", "copy", "--bmap", bmap, str(image), path],
        OURS: [*ours, "--no-verify"],
        CHECKED: ours,
    }  # fmt: skip
    found = {}
    for tool, command in commands.items():
        os.sync()
        found[tool] = run([*undisturbed(), *command])
    return found
