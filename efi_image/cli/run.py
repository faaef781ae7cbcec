"""`zpp-image run`."""

from __future__ import annotations

import re
from pathlib import Path
from subprocess import Popen

import click

from efi_image.cli.tracing import Screen, tracing
from efi_image.config.environment import load
from efi_image.config.values import parse_size
from efi_image.debug import gdb as debugger
from efi_image.emulator import (
    BootResult,
    Debug,
    EmulatorKind,
    Machine,
    Medium,
    RunRequest,
    boot,
    choose,
)

_CPU_MODEL_HELP = (
    "MODEL[,+FEATURE][,-FEATURE]; QEMU: as for its -cpu (default with TCG: EPYC,+svm; with KVM: "
    "host); Bochs: corei7_haswell_4770 has VT-x, ryzen AMD-V."
)

_OLD_NAME = re.compile(r"^--engine(?==|$)")


class _Command(click.Command):
    """Lets `--gdb` stand alone, and takes `--engine`, the old name of `--emulator`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = ["--gdb=" if word == "--gdb" else word for word in args]
        return super().parse_args(ctx, [_OLD_NAME.sub("--emulator", word) for word in words])


@click.command("run", cls=_Command)
@click.argument("image", type=click.Path(path_type=Path))
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
    "--timeout", type=float, default=0, metavar="SECONDS", help="Time limit in seconds; 0: none."
)
@click.option(
    "--expect",
    multiple=True,
    metavar="REGEX",
    help="Text to wait for on the serial port; the run ends when all were seen. Repeatable.",
)
@click.option("--until-power-off", is_flag=True, help="Do not stop before the machine powers off.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the serial text in FILE, its bytes in FILE.raw, the emulator's own output in "
    "FILE.emulator.",
)
@click.option(
    "--firmware",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="UEFI firmware: one file, or a firmware descriptor of QEMU (NAME.json).  [default: OVMF "
    "of the system or of the Bochs installation]",
)
@click.option(
    "--bochs-root",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the Bochs installation.  [default: BOCHS_ROOT, else ~/.cache/zpp/bochs]",
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
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save every VM exit in FILE, for `zpp-image trace`.",
)
@click.option("--explain", is_flag=True, help="Explain each kind of VM exit when it first happens.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show the serial output.")
def command(
    image: Path,
    emulator: str,
    cpus: int,
    memory: int,
    cpu_model: str,
    machine: str | None,
    medium: str,
    timeout: float,
    expect: tuple[str, ...],
    until_power_off: bool,
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
) -> None:
    """Boot an image in an emulator.

    Shows the serial output on the terminal. The run ends when the machine powers off, when
    all expected texts were seen, or at the time limit. The image is not changed.

    The exit code is 0 if all expected texts were seen (without --expect: if the guest powered
    off, or ended the run by QEMU's debug-exit device, whose code is shown, or by Bochs's
    shutdown port), 1 if the guest ended before, 7 if the emulator failed, 8 at the time limit.

    \b
    Examples:
      zpp-image run esp.img
      zpp-image run esp.img --emulator bochs --cpus 4
      zpp-image run esp.img --expect 'login:' --timeout 300 --log boot.log
      zpp-image run esp.img --cpus 4 --debug
      zpp-image run esp.img --explain --trace boot.trace
      zpp-image run zpp.iso --medium optical
    """
    address = _gdb_address(gdb) if gdb is not None or debug else ""
    debugger_line = debugger.command(load(), address) if debug else ()
    request = RunRequest(
        image=image,
        cpus=cpus,
        memory=memory,
        cpu_model=cpu_model,
        machine=Machine(machine) if machine else None,
        medium=Medium(medium),
        timeout=timeout,
        expect=expect,
        until_power_off=until_power_off,
        log=log,
        firmware=firmware,
        debug=Debug(
            deterministic=deterministic,
            keep_work=keep_work,
            extra=extra,
            gdb=address,
            stopped=debug,
        ),
    )
    request.check_files()
    chosen = choose(EmulatorKind(emulator), bochs_root)
    model = cpu_model or chosen.default_model
    say(f"{image} on {chosen.description}; {cpus} CPU{'s' if cpus > 1 else ''} of model {model}")
    show = _Terminal(shown=not quiet)
    try:
        screen = Screen(show, show.finish_line, say)
        with tracing(request, chosen, trace, explain, screen) as (request, terminal):
            if debug:
                with debugger.running(debugger_line) as show.busy:
                    result = boot(request, chosen, terminal)
            else:
                result = boot(request, chosen, terminal)
    finally:
        show.finish_line()
    for line in result.problems:
        say(f"{result.emulator}: {line}")
    result.require()
    say(_summary(result))


def _memory(text: str) -> int:
    """MiB."""
    return int(text) if text.isdecimal() else parse_size(text, "--memory") >> 20


def _gdb_address(given: str | None) -> str:
    return debugger.check_address(given or load().gdb_server_address)


def say(line: str) -> None:
    """Print a line of our own, told apart from the guest's."""
    click.secho(f"zpp-image: {line}", err=True, dim=True)


def _summary(result: BootResult) -> str:
    count = len(result.request.expect)
    seen = f", {count} expected text{'s' if count > 1 else ''} seen" if count else ""
    return f"{result.ending}{seen} ({result.seconds:.1f} s)"


class _Terminal:
    """Shows the serial text as it comes, but not while a debugger uses the terminal."""

    def __init__(self, *, shown: bool) -> None:
        self.busy: Popen[bytes] | None = None
        self._shown = shown
        self._kept = ""
        self._unfinished = False

    def __call__(self, text: str) -> None:
        if not self._shown:
            return
        self._kept += text
        if self.busy is None or self.busy.poll() is not None:
            self._write()

    def _write(self) -> None:
        if self._kept:
            click.echo(self._kept, nl=False)
            self._unfinished = not self._kept.endswith("\n")
            self._kept = ""

    def finish_line(self) -> None:
        self._write()
        if self._unfinished:
            click.echo()
            self._unfinished = False
