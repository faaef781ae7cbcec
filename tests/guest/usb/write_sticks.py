"""Runs in the guest with USB sticks: executes the steps of a plan and prints their results.

The plan is a JSON file that the kernel parameter zpp.plan=FILE names: a list of steps, each with a
name and one of

    run      arguments of zpp-image; `serial:X` is replaced by the path of the stick with serial X
    mount    a stick's serial and the mount point
    unmount  the mount point
    wait     the serial of a stick to wait for
    spawn    arguments of zpp-image, which runs in the background
    collect  the name of a `spawn` step, which is ended with SIGINT

`run` may be combined with `stdin`, the text to type on its terminal. The result of each step is a
line `step {JSON}`. Each zpp-image is a process forked from this one, because importing it takes
emulated CPUs several seconds.
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
    """Runs the plan, and powers off, because this is the first process."""
    try:
        run_plan()
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    time.sleep(0.2)  # for the serial port's queue
    ctypes.CDLL(None).reboot(RB_POWER_OFF)


def run_plan() -> None:
    print(f"started after {Path('/proc/uptime').read_text().split()[0]} s", flush=True)
    words = Path("/proc/cmdline").read_text().split()
    plan = next(word.partition("=")[2] for word in words if word.startswith("zpp.plan="))
    for step in json.loads(Path(plan).read_text()):
        started = time.monotonic()
        print(f"starting {step['name']}", flush=True)
        try:
            result = run_step(step)
        except Exception:
            result = {"code": -1, "err": traceback.format_exc()}
        seconds = round(time.monotonic() - started, 1)
        print(
            "step " + json.dumps({"name": step["name"], "seconds": seconds, **result}), flush=True
        )


def run_step(step: dict[str, Any]) -> dict[str, Any]:
    """Runs a step; returns its result."""
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
    """Replaces `serial:X` by the path of the stick."""
    return path_of(word[7:]) if word.startswith("serial:") else word


def path_of(serial: str) -> str:
    """Waits for a stick; returns its path."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        for device in LinuxDisks().devices():
            if device.serial == serial and device.size:
                return device.path
        time.sleep(0.2)
    raise TimeoutError(f"no stick with serial {serial}")


def mount(path: str, target: str) -> int:
    """Mounts a FAT file system read-only; returns 0 or the error number."""
    Path(target).mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.mount(path.encode(), target.encode(), b"vfat", 1, None)
    return ctypes.get_errno() if failed else 0


def run(words: list[str]) -> dict[str, Any]:
    """Runs zpp-image; returns its exit code and output."""
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
    """Starts zpp-image in a new process; returns its process ID."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        exec_zpp_image(words)
    return child


def collect(name: str) -> dict[str, Any]:
    """Ends a background process; returns its exit code and output."""
    child, out = SPAWNED.pop(name)
    os.kill(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    with out:
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    return {"code": os.waitstatus_to_exitcode(status), "out": text}


def on_terminal(words: list[str], text: str) -> dict[str, Any]:
    """Runs zpp-image on a terminal on which `text` is typed."""
    child, terminal = pty.fork()
    if child == 0:
        exec_zpp_image(words)
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


def exec_zpp_image(words: list[str]) -> None:
    """Turns this process into zpp-image."""
    code = 99
    try:
        code = cli.main(words)
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
