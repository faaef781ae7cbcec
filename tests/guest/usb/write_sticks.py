"""Runs in the guest with USB sticks: does the steps of a plan, and tells what each gave.

The plan is a JSON file that the kernel's command line names with zpp.plan=FILE: a list of steps
with a name and one of

    run      arguments of zpp-image; `serial:X` stands for the path of the stick with that serial
    mount    a stick's serial and where to mount it
    unmount  where something is mounted
    wait     a serial that shall be there
    stdin    text for a terminal on which `run` reads and writes
    spawn    arguments of zpp-image, which goes on in the background …
    collect  … until the step of that name is ended, with SIGINT

Each step gives a line `step {JSON}`. zpp-image runs in a process of its own each time, forked
from this one, as it takes emulated CPUs seconds to import it.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import re
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from efi_image.cli import (
    devices,  # noqa: F401 - imported once for all processes
    write,  # noqa: F401 - imported once for all processes
)
from efi_image.cli import main as cli
from efi_image.devices.linux import LinuxDisks

WAIT = 60  # seconds
SPAWNED: dict[str, tuple[int, IO[bytes]]] = {}  # the step's name → process and output


RB_POWER_OFF = 0x4321FEDC  # <linux/reboot.h>


def main() -> None:
    """Do the plan, and power off, as this is the first process."""
    try:
        do_plan()
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    time.sleep(0.2)  # what is in the serial port's queue
    ctypes.CDLL(None).reboot(RB_POWER_OFF)


def do_plan() -> None:
    print(f"started after {Path('/proc/uptime').read_text().split()[0]} s", flush=True)
    words = Path("/proc/cmdline").read_text().split()
    plan = next(word.partition("=")[2] for word in words if word.startswith("zpp.plan="))
    for step in json.loads(Path(plan).read_text()):
        started = time.monotonic()
        print(f"starting {step['name']}", flush=True)
        try:
            result = do(step)
        except Exception:
            result = {"code": -1, "err": traceback.format_exc()}
        seconds = round(time.monotonic() - started, 1)
        print(
            "step " + json.dumps({"name": step["name"], "seconds": seconds, **result}), flush=True
        )


def do(step: dict[str, Any]) -> dict[str, Any]:
    """What one step gives."""
    if "wait" in step:
        return {"code": 0, "out": path_of(step["wait"])}
    if "mount" in step:
        serial, target = step["mount"]
        return {"code": mount(path_of(serial), target)}
    if "unmount" in step:
        return {"code": ctypes.CDLL(None).umount2(step["unmount"].encode(), 0)}
    if "collect" in step:
        return collect(step["collect"])
    words = [resolve(word) for word in step["run" if "run" in step else "spawn"]]
    if "spawn" in step:
        out = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it is collected
        SPAWNED[step["name"]] = start(words, out, out), out
        return {"code": 0}
    return on_terminal(words, step["stdin"]) if "stdin" in step else run(words)


def resolve(word: str) -> str:
    """The word, with the path of a stick in place of its serial."""
    return path_of(word[7:]) if word.startswith("serial:") else word


def path_of(serial: str) -> str:
    """The path of a stick, once it is there."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        for device in LinuxDisks().devices():
            if device.serial == serial and device.size:
                return device.path
        time.sleep(0.2)
    raise TimeoutError(f"no stick with serial {serial}")


def mount(path: str, target: str) -> int:
    """Mount a FAT file system read-only; 0, or the error's number."""
    Path(target).mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.mount(path.encode(), target.encode(), b"vfat", 1, None)
    return ctypes.get_errno() if failed else 0


def run(words: list[str]) -> dict[str, Any]:
    """zpp-image with these arguments: its exit code and what it said."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = start(words, out, err)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "out": out.read().decode("utf-8", "replace"),
            "err": err.read().decode("utf-8", "replace"),
        }


def start(words: list[str], out: IO[bytes], err: IO[bytes]) -> int:
    """zpp-image in a process of its own; its number."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        become(words)
    return child


def collect(name: str) -> dict[str, Any]:
    """End what goes on in the background; its exit code and what it said."""
    child, out = SPAWNED.pop(name)
    os.kill(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    with out:
        out.seek(0)
        said = out.read().decode("utf-8", "replace")
    return {"code": os.waitstatus_to_exitcode(status), "out": said}


def on_terminal(words: list[str], text: str) -> dict[str, Any]:
    """The same on a terminal where somebody types."""
    child, terminal = pty.fork()
    if child == 0:
        become(words)
    os.write(terminal, text.encode())
    seen = b""
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:
            break
        if not more:
            break
        seen += more
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    shown = re.sub(r"\r", "\n", seen.decode("utf-8", "replace"))
    return {"code": os.waitstatus_to_exitcode(status), "out": shown, "err": ""}


def become(words: list[str]) -> None:
    """Be zpp-image, and end."""
    code = 99
    try:
        code = cli.main(words)
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
