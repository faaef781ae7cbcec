"""Measures `zpp-image write` beside dd and bmaptool on the same images.

    bench.py … --only write

The target is a loop device where that can be had (root, and the kernel's loop driver), else a plain
file; its blocks are there. The tools run in turn, some times, each of them first at some time, and
the image is in the page cache for all. Medians count; of ratios the median of those of each turn,
as other work on the machine comes and goes. A stick is slower than any disk below a loop device:
what Python's start takes, and the further flushes that let nothing boot before it is whole, count
more here than there. So there are rows without the start, too, and one on a device that is as slow
as a good stick.
"""

from __future__ import annotations

import compileall
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
from throttle import can_throttle, throttled

import efi_image

SPARE = 64  # MiB of the target behind the image
ROOM = 2  # times an image's size that has to be free for it and its target, and …
MORE_ROOM = 4096  # MiB
OURS, CHECKED, DD, BMAP = "zpp-image --no-verify", "zpp-image", "dd", "bmaptool --no-verify"
OTHERS = (DD, BMAP)
AS_FAST = 1 / 0.95  # of the seconds of the fastest other


@dataclass(frozen=True)
class Case:
    """An image of `size` MiB, of which so many MiB are data, in pieces of one of eight MiB.

    `rate`: MiB that the target takes in a second (0: as many as it can).
    """

    name: str
    size: int
    data: int
    runs: int = 9
    rate: int = 0

    def can_run(self, folder: Path) -> bool:
        """Whether there is room for it, and its rate can be had."""
        room = shutil.disk_usage(folder).free / MIB >= ROOM * self.size + MORE_ROOM
        return room and (not self.rate or (can_throttle() and can_attach()))


CASES = (
    Case("1 GiB of data", 1024, 1024),
    Case("1 GiB, half of it holes", 1024, 512),
    Case("4 GiB of data", 4096, 4096, runs=5),
    Case("512 MiB of data at 100 MiB/s", 512, 512, runs=3, rate=100),
)


def measure_writes(folder: Path) -> Iterator[Measure]:
    """All rows; `folder` is one for scratch files."""
    # as an installed tool is; Python itself does not where PYTHONDONTWRITEBYTECODE is set
    compileall.compile_dir(Path(efi_image.__file__).parent, quiet=2)
    start = statistics.median(run([ZPP, "--version"]).seconds for _ in range(9))
    yield Measure("write, Python's start (zpp-image --version)", "s", round(start, 3))
    for case in CASES:
        if not case.can_run(folder):
            say(f"writes, {case.name}: left out, as there is no room or no way to slow a disk")
            continue
        say(f"writes, {case.name}")
        image = make(case, folder)
        with target(case, folder) as (path, kind), throttled(path, case.rate * MIB):
            turns = [turn(case, image, path, number) for number in range(case.runs)]
            yield from rows(case, f"write, {case.name} to a {kind}", start, turns)
        image.unlink()


def rows(case: Case, name: str, start: float, turns: list[dict[str, Cost]]) -> Iterator[Measure]:
    """The rows of one case."""
    medians = {}
    for tool in (OURS, CHECKED, *OTHERS):
        costs = [each[tool] for each in turns]
        medians[tool] = seconds = statistics.median(cost.seconds for cost in costs)
        cpu = statistics.median(cost.cpu for cost in costs)
        yield Measure(f"{name}: {tool}", "MiB/s", round(case.size / seconds, 1))
        yield Measure(f"{name}: {tool}, CPU", "s", round(cpu, 3))
        limit = MOST_MEMORY if tool in {OURS, CHECKED} else None
        memory = max(cost.memory for cost in costs)
        yield Measure(f"{name}: {tool}, peak memory", "MB", round(memory, 1), limit)
    best = min(OTHERS, key=lambda tool: medians[tool])
    ratio = f"seconds, zpp-image without reading back to {best}"
    pairs = [(each[OURS].seconds, each[best].seconds) for each in turns]
    found = statistics.median(ours / other for ours, other in pairs)
    yield Measure(f"{name}: {ratio}", "ratio", round(found, 3), AS_FAST)
    found = statistics.median(max(ours - start, 0) / other for ours, other in pairs)
    yield Measure(f"{name}: {ratio}, without start", "ratio", round(found, 3))
    found = statistics.median(each[CHECKED].seconds / each[OURS].seconds for each in turns)
    yield Measure(f"{name}: seconds, with reading back to without", "ratio", round(found, 3))


def make(case: Case, folder: Path) -> Path:
    """The image, with holes where there is no data."""
    image, block = folder / "write.img", os.urandom(MIB)
    every = case.size // case.data
    with image.open("wb") as file:
        for number in range(0, case.size, 8):
            if number // 8 % every == 0:
                file.seek(number * MIB)
                for _ in range(8):
                    file.write(block)
        file.truncate(case.size * MIB)
    bmap = ["bmaptool", "create", "-o", str(image.with_suffix(".bmap")), str(image)]
    subprocess.run(bmap, check=True, capture_output=True)
    return image


@contextmanager
def target(case: Case, folder: Path) -> Iterator[tuple[str, str]]:
    """Something to write to, and what it is."""
    file = folder / "target.img"
    with file.open("wb") as there:
        for _ in range(case.size + SPARE):
            there.write(bytes(MIB))
        os.fsync(there.fileno())
    loop = attach(file)
    try:
        yield (loop, "loop device") if loop else (str(file), "file")
    finally:
        if loop:
            subprocess.run(["losetup", "-d", loop], check=True)
        file.unlink()


def can_attach() -> bool:
    """Whether there are loop devices."""
    return os.geteuid() == 0 and shutil.which("losetup") is not None


def attach(file: Path) -> str:
    """A loop device of the file, or ''."""
    if not can_attach():
        return ""
    command = ["losetup", "--find", "--show", "--direct-io=on", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def real_time() -> list[str]:
    """A prefix that keeps other work on the machine from interrupting."""
    return ["chrt", "-r", "1"] if os.geteuid() == 0 and shutil.which("chrt") else []


def turn(case: Case, image: Path, path: str, number: int) -> dict[str, Cost]:
    """Tool → what it took, one after the other; another one is the first each time."""
    erase = ("--yes-erase", path) if path.startswith("/dev/") else ()
    ours = [ZPP, "write", str(image), path, "--raw-bytes", *erase]
    if case.data < case.size:  # bmaptool leaves what is in holes; so shall we
        ours.append("--skip-holes")
    bmap = str(image.with_suffix(".bmap"))
    commands = {
        DD: ["dd", f"if={image}", f"of={path}", "bs=4M", "oflag=direct", "conv=notrunc,fsync",
             "status=none"],
        BMAP: ["bmaptool", "-q", "copy", "--no-verify", "--bmap", bmap, str(image), path],
        OURS: [*ours, "--no-verify"],
        CHECKED: ours,
    }  # fmt: skip
    tools = list(commands)
    found = {}
    for place in range(len(tools)):
        tool = tools[(place + number) % len(tools)]
        keep(image)
        os.sync()
        found[tool] = run([*real_time(), *commands[tool]])
    return found


def keep(image: Path) -> None:
    """See to it that the image is in the page cache."""
    with image.open("rb", buffering=0) as file:
        while file.read(4 * MIB):
            pass
