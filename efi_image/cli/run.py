"""`zpp-image run`."""

from __future__ import annotations

import os
import re
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from efi_image.cli.path_type import PathType
from efi_image.cli.run_report import say, show_json, show_problems, summary
from efi_image.cli.run_viewer import RunViewer
from efi_image.cli.serial_console import KEYS_HINT, Keyboard, Pipe, is_attended
from efi_image.cli.tracing import tracing
from efi_image.config.environment import load
from efi_image.config.values import parse_size
from efi_image.debug import gdb as debugger
from efi_image.emulator import (
    BootResult,
    Debug,
    Devices,
    Emulator,
    EmulatorKind,
    Forward,
    Machine,
    Medium,
    RunRequest,
    boot,
    choose,
)
from efi_image.emulator.bochs import check_devices
from efi_image.errors import UsageError, ZppError

_CPU_MODEL_HELP = (
    "MODEL[,+FEATURE][,-FEATURE]; QEMU: as for its -cpu (default with TCG: EPYC,+svm,-monitor; "
    "with KVM: host); Bochs: corei7_haswell_4770 has VT-x, ryzen AMD-V."
)

_TIME_LIMIT = 600.0  # seconds, if nobody watches
_KEYS, _SCREEN = 0, 1  # the descriptors of standard input and output

_OLD_NAME = re.compile(r"^--engine(?==|$)")


class _Command(click.Command):
    """Lets `--gdb` stand alone, and takes `--engine`, the old name of `--emulator`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = ["--gdb=" if word == "--gdb" else word for word in args]
        return super().parse_args(ctx, [_OLD_NAME.sub("--emulator", word) for word in words])


@click.command("run", cls=_Command)
@click.argument("image", type=PathType(path_type=Path))
@click.option(
    "--emulator",
    type=click.Choice([kind.value for kind in EmulatorKind]),
    default=EmulatorKind.AUTO.value,
    show_default=True,
    help="Emulator; auto takes the first that can run the hypervisor: QEMU with nested KVM, "
    "QEMU with TCG (AMD-V), Bochs (VT-x and AMD-V).",
)
@click.option("--cpus", type=int, default=1, show_default=True, help="Number of CPUs.")
@click.option(
    "--memory",
    default="512",
    show_default=True,
    metavar="SIZE",
    callback=lambda _context, _option, text: _memory(text),
    help="Memory: 2G, 512M; a number alone is MiB.",
)
@click.option("--cpu-model", default="", metavar="MODEL", help=_CPU_MODEL_HELP)
@click.option(
    "--machine",
    type=click.Choice([machine.value for machine in Machine]),
    help="Chipset of the PC.  [default: q35 on QEMU, pc on Bochs]",
)
@click.option(
    "--medium",
    type=click.Choice([medium.value for medium in Medium]),
    default=Medium.DISK.value,
    show_default=True,
    help="Medium of the image: a disk, an optical disc, or a USB stick (QEMU).",
)
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help="Time limit in seconds; 0: none.  "
    "[default: 600; none with a console, a window or a debugger]",
)
@click.option(
    "--expect",
    multiple=True,
    metavar="REGEX",
    help="Text to wait for on the serial port; the run ends when all of it was seen. Repeatable.",
)
@click.option(
    "--until-power-off",
    is_flag=True,
    help="Do not stop before the machine powers off, even if the guest fails.",
)
@click.option(
    "--verdicts/--no-verdicts",
    default=None,
    help="End the run when the guest fails.  [default: yes, except with a debugger]",
)
@click.option(
    "--stdin/--no-stdin",
    default=None,
    help="Send standard input to the guest's serial port.  [default: if it and standard output "
    "are terminals, and no text is expected; with --debug, after gdb ends]",
)
@click.option("--display", is_flag=True, help="Show the machine's screen in a window (QEMU).")
@click.option(
    "--screenshot",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="Save the machine's screen at the end, as PNG (.png) or PPM (.ppm) (QEMU).",
)
@click.option(
    "--share",
    type=PathType(path_type=Path),
    metavar="DIR",
    help="Give the guest a copy of the directory as a second disk: a FAT volume named SHARE.",
)
@click.option(
    "--network",
    type=click.Choice(["none", "user"]),
    default="none",
    show_default=True,
    help="user: connect the guest to this machine's networks through NAT (QEMU).",
)
@click.option(
    "--forward",
    "forwards",
    multiple=True,
    metavar="PORT:PORT",
    help="Forward a TCP port of this machine (127.0.0.1 only) to a port of the guest; implies "
    "--network user. Repeatable.",
)
@click.option(
    "--log",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="Save the serial text in FILE, its bytes in FILE.raw, the emulator's own output in "
    "FILE.emulator.",
)
@click.option(
    "--firmware",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="UEFI firmware: one file, or a firmware descriptor of QEMU (NAME.json).  [default: OVMF "
    "of the system or of the Bochs installation]",
)
@click.option(
    "--bochs-root",
    type=PathType(path_type=Path),
    metavar="DIR",
    help="Directory of the Bochs installation.  [default: BOCHS_ROOT, else ~/.cache/zpp/bochs]",
)
@click.option(
    "--gdb",
    metavar="[HOST:PORT]",
    help="--gdb[=HOST:PORT]: start a gdb server, for this machine only (QEMU).  [default: "
    "GDB_SERVER_ADDRESS]",
)
@click.option("--debug", is_flag=True, help="Start gdb at the core's first line; implies --gdb.")
@click.option("--deterministic", is_flag=True, help="Make every run the same (with one CPU).")
@click.option("--keep-work", is_flag=True, help="Keep the work directory of the run.")
@click.option(
    "--extra",
    multiple=True,
    metavar="WORD",
    help="Argument for QEMU or line for bochsrc. Repeatable.",
)
@click.option(
    "--trace",
    type=PathType(path_type=Path),
    metavar="FILE",
    help="Record every VM exit in FILE, for `zpp-image trace`.",
)
@click.option("--explain", is_flag=True, help="Explain each kind of VM exit when it first happens.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show the serial output.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; implies --quiet.")
def command(
    image: Path,
    emulator: str,
    cpus: int,
    memory: int,
    cpu_model: str,
    machine: str | None,
    medium: str,
    timeout: float | None,
    expect: tuple[str, ...],
    until_power_off: bool,
    verdicts: bool | None,
    stdin: bool | None,
    display: bool,
    screenshot: Path | None,
    share: Path | None,
    network: str,
    forwards: tuple[str, ...],
    log: Path | None,
    firmware: Path | None,
    bochs_root: Path | None,
    gdb: str | None,
    debug: bool,
    deterministic: bool,
    keep_work: bool,
    extra: tuple[str, ...],
    trace: Path | None,
    explain: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Boot an image in an emulator.

    The serial output appears on the terminal; keys go to the guest, and Ctrl-] ends the run. The
    run also ends when the machine powers off, when all expected text was seen, when the guest
    fails (the core crashed, the kernel panicked, or, without a console, the firmware found
    nothing to start), and at the time limit. The image does not change.

    The exit code is 0 if all expected text was seen (without --expect: if the guest powered off,
    if it used QEMU's debug-exit device, whose code is shown, or Bochs's shutdown port, or if you
    ended the run), 1 if the guest failed or ended too early, 7 if the emulator failed, and 8 at
    the time limit.

    \b
    Examples:
      zpp-image run esp.img
      zpp-image run esp.img --emulator bochs --cpus 4
      zpp-image run esp.img --expect 'login:' --timeout 300 --log boot.log
      zpp-image run esp.img --share files --forward 2222:22
      zpp-image run esp.img --screenshot screen.png --json
      zpp-image run esp.img --cpus 4 --debug
      zpp-image run esp.img --explain --trace boot.trace
      zpp-image run zpp.iso --medium optical
    """
    if debug and as_json:
        raise UsageError("gdb prints on the terminal, which --json excludes", where="--debug")
    address = _gdb_address(gdb) if gdb is not None or debug else ""
    is_free = not (expect or quiet or as_json)
    console = _console(is_free and is_attended(_KEYS, _SCREEN) if stdin is None else stdin)
    if debug and isinstance(console, Pipe):
        raise UsageError("gdb reads standard input itself", where="--stdin", hint="use --gdb")
    is_watched = isinstance(console, Keyboard) or display or bool(address)
    request = RunRequest(
        image=image,
        cpus=cpus,
        memory=memory,
        cpu_model=cpu_model,
        machine=Machine(machine) if machine else None,
        medium=Medium(medium),
        timeout=(0 if is_watched else _TIME_LIMIT) if timeout is None else timeout,
        expect=expect,
        until_power_off=until_power_off,
        verdicts=not address if verdicts is None else verdicts,
        console=console is not None,
        log=log,
        firmware=firmware,
        devices=Devices(
            display=display,
            screenshot=screenshot,
            share=share,
            network=network == "user" or bool(forwards),
            forwards=tuple(map(Forward.parse, forwards)),
        ),
        debug=Debug(
            deterministic=deterministic,
            keep_work=keep_work,
            extra=extra,
            gdb=address,
            stopped=debug,
        ),
    )
    request.check_files()
    kind = EmulatorKind(emulator)
    if kind is EmulatorKind.BOCHS:
        check_devices(request)  # before the advice to install it
    chosen = choose(kind, bochs_root)
    chosen.check(request)
    debugger_line = debugger.command(load(), address) if debug else ()
    _introduce(request, chosen, console)
    viewer = RunViewer(console, shown=not (quiet or as_json))
    with tracing(request, chosen, trace, explain, viewer) as traced:
        result = _boot(traced, chosen, viewer, debugger_line)
    if as_json:
        show_json(result, image)
        return
    result.require()
    show_problems(result)
    say(summary(result))


def _boot(
    request: RunRequest, emulator: Emulator, viewer: RunViewer, debugger_line: tuple[str, ...]
) -> BootResult:
    with ExitStack() as stack:
        stack.callback(viewer.finish)
        if isinstance(viewer.console, Keyboard):
            stack.enter_context(viewer.console)
            if not debugger_line:
                viewer.console.open()
        if debugger_line:
            viewer.busy = stack.enter_context(debugger.running(debugger_line))
        return boot(request, emulator, viewer)


def _console(is_wanted: bool) -> Keyboard | Pipe | None:
    """The input for the serial port; raises UsageError."""
    if not is_wanted:
        return None
    if not hasattr(os, "openpty"):  # Windows
        raise UsageError("works on Linux and macOS only", where="--stdin")
    if sys.stdin is None:
        raise UsageError("standard input is closed", where="--stdin")
    return Keyboard(_KEYS, _SCREEN) if os.isatty(_KEYS) else Pipe(_KEYS)


def _introduce(request: RunRequest, emulator: Emulator, console: Keyboard | Pipe | None) -> None:
    model = request.cpu_model or emulator.default_model
    cpus = f"{request.cpus} CPU{'s' if request.cpus > 1 else ''} of model {model}"
    say(f"{request.image} on {emulator.description}; {cpus}")
    if request.debug.stopped:
        say("gdb starts; the guest's output appears when you quit gdb")
        say("`help user-defined` lists zpp's commands for gdb")
    elif request.debug.gdb:
        _tell_how_to_connect(request.debug.gdb)
    if isinstance(console, Keyboard) and not request.debug.stopped:
        say(KEYS_HINT)


def _tell_how_to_connect(address: str) -> None:
    try:
        line = debugger.connection(load(), address)
    except ZppError as error:
        say(f"a GDB server listens at {address}, but {error}")
        return
    say(f"a GDB server listens at {address}; connect from another terminal with")
    say(f"  {shlex.join(line)}")


def _memory(text: str) -> int:
    """MiB."""
    return int(text) if text.isdecimal() else parse_size(text, "--memory") >> 20


def _gdb_address(given: str | None) -> str:
    return debugger.check_address(given or load().gdb_server_address)
