"""Boots the small Linux guest and prints in one line whether zpp runs on every CPU: `make run`.

demo.py IMAGE [ENGINE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from guest_log import SIGNATURE, GuestLog, parse_log

from efi_image.emulator import EmulatorKind, ExitReason, RunRequest, TextViewer, boot, choose
from efi_image.errors import ExitCode, UsageError, ZppError

CPUS = 4
TIME_LIMIT = 300.0  # seconds; it takes 8 on QEMU, 15 to 30 on Bochs


def succeeded(log: GuestLog, cpus: int) -> bool:
    """Whether zpp virtualized every CPU, and Linux ran on all of them and saw zpp."""
    every = set(range(cpus))
    launched = log.virtualized.keys() == every
    used = log.cpu_count == cpus and log.hypervisors.keys() == every
    seen = all(name.startswith(SIGNATURE) for name in log.hypervisors.values())
    return launched and used and seen and log.done and not log.failures


def summary(log: GuestLog, cpus: int, emulator: str, seconds: float) -> str:
    """The result in one line."""
    if log.virtualized:
        vendor = " and ".join(sorted(set(log.virtualized.values())))
        zpp = f"zpp ran on {len(log.virtualized)} of {cpus} CPUs with {vendor}"
    else:
        zpp = f"zpp did not start ({log.no_hypervisor or 'it printed no reason'})"
    linux = f"Linux {log.linux_release}" if log.linux_release else "no Linux"
    return f"{zpp}, and {linux} on {log.cpu_count} CPUs ({emulator}, {seconds:.0f} s)."


def run(image: Path, cpus: int, kind: EmulatorKind) -> int:
    """Boots, with the serial port on the terminal; returns the exit code."""
    emulator = choose(kind)
    machine = f"{cpus} CPUs of model {emulator.default_model}"
    print(f"Booting {image} on {emulator.description}; {machine}", flush=True)
    request = RunRequest(image, cpus=cpus, timeout=TIME_LIMIT, verdicts=True)
    result = boot(request, emulator, TextViewer(lambda text: print(text, end="", flush=True)))
    log = parse_log(result.serial)
    line = summary(log, cpus, emulator.description.partition(" ")[0], result.seconds)
    if result.reason is ExitReason.POWER_OFF and succeeded(log, cpus):
        print(f"\nPassed: {line}")
        return 0
    print(f"\nFailed: {line} {result.ending.capitalize()}.", file=sys.stderr)
    for problem in result.problems:
        print(f"  {problem}", file=sys.stderr)
    print("hint: docs/how-to/failed-boot.md", file=sys.stderr)
    return 1


def emulator_kind(word: str) -> EmulatorKind:
    """The emulator of that name, `auto` for ""; raises UsageError for an unknown name."""
    names = [kind.value for kind in EmulatorKind]
    if word and word not in names:
        raise UsageError(f"ENGINE must be {', '.join(names[:-1])} or {names[-1]}, not '{word}'")
    return EmulatorKind(word or EmulatorKind.AUTO.value)


def main() -> int:
    image = Path(sys.argv[1])
    try:
        return run(image, CPUS, emulator_kind(sys.argv[2] if len(sys.argv) > 2 else ""))
    except ZppError as error:
        print(f"make run: {error}", *error.details, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nmake run: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
