"""Boots an image with the small Linux guest and says in one line what was shown: `make run`.

show.py IMAGE [ENGINE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from view import SIGNATURE, View, read

from efi_image.emulator import EngineKind, ExitReason, RunRequest, boot, choose
from efi_image.errors import ExitCode, UsageError, ZppError

CPUS = 4
TIME_LIMIT = 300.0  # seconds; it takes 8 on QEMU, 15 to 30 on Bochs


def shown(view: View, cpus: int) -> bool:
    """Whether the hypervisor held every CPU, and Linux ran on all of them and saw it."""
    every = set(range(cpus))
    held = view.held.keys() == every and view.cpus == cpus and view.seen.keys() == every
    seen = all(name.startswith(SIGNATURE) for name in view.seen.values())
    return held and seen and view.done and not view.failures


def summary(view: View, cpus: int, engine: str, seconds: float) -> str:
    """One line that a newcomer understands."""
    where = f"{engine}, in {seconds:.0f} s"
    if view.held:
        vendor = " and ".join(sorted(set(view.held.values())))
        what = f"zpp held {len(view.held)} of {cpus} CPUs with {vendor}"
    else:
        what = f"zpp held no CPU ({view.no_hypervisor or 'it said nothing'})"
    linux = f"Linux {view.release}" if view.release else "no Linux"
    return f"{what} and {linux} ran on {view.cpus} of them, on {where}."


def show(image: Path, cpus: int, kind: EngineKind) -> int:
    """Boots, with the serial port on the terminal; the exit code."""
    engine = choose(kind)
    machine = f"{cpus} CPUs of model {engine.default_model}"
    print(f"Booting {image} on {engine.description}; {machine}", flush=True)
    request = RunRequest(image, cpus=cpus, timeout=TIME_LIMIT)
    result = boot(request, engine, lambda text: print(text, end="", flush=True))
    view = read(result.serial)
    line = summary(view, cpus, engine.description.partition(" ")[0], result.seconds)
    if result.reason is ExitReason.POWER_OFF and shown(view, cpus):
        print(f"\nShown: {line}")
        return 0
    print(f"\nNot shown: {line} {result.reason.value.capitalize()}.", file=sys.stderr)
    for problem in result.problems:
        print(f"  {problem}", file=sys.stderr)
    print("hint: docs/guide.md, 'When a boot fails'", file=sys.stderr)
    return 1


def engine_kind(word: str) -> EngineKind:
    """`auto` unless there is a word; UsageError for one that is no engine."""
    names = [kind.value for kind in EngineKind]
    if word and word not in names:
        raise UsageError(f"ENGINE must be {', '.join(names[:-1])} or {names[-1]}, not '{word}'")
    return EngineKind(word or EngineKind.AUTO.value)


def main() -> int:
    image = Path(sys.argv[1])
    try:
        return show(image, CPUS, engine_kind(sys.argv[2] if len(sys.argv) > 2 else ""))
    except ZppError as error:
        print(f"make run: {error}", *error.details, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nmake run: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
