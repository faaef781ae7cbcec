"""The entry point of zpp-image: finds the command, and turns errors into exit codes.

A command's module is imported only when the command is asked for, so `--version` and
`--help` cost little more than click. To add a command: a module in efi_image/commands
whose click command is named `command`, and a line in COMMANDS.
"""

from __future__ import annotations

import errno
import importlib
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from efi_image import __version__
from efi_image.errors import EXIT_CODES, ExitCode, OutputError, ZppError, printable

# name → one line of help, as the command's own docstring begins
COMMANDS: dict[str, str] = {
    "make": "Make a bootable image with the hypervisor on it.",
    "verify": "Say why an image does not boot, and mend it.",
    "ls": "List files of an image.",
    "cat": "Write a file of an image to standard output.",
    "extract": "Extract files and directories of an image.",
    "inspect": "Show what an image or a PE file is made of.",
    "diff": "Compare two images or PE files by meaning.",
    "run": "Boot an image in an emulator.",
    "devices": "List disks, and say which are safe to write to.",
    "write": "Write an image to a USB stick, and read it back.",
    "symbolize": "Show the source lines of a crash report's addresses.",
    "rig": "Install, check or remove the Bochs emulator's root.",
    "config": "Show the merged configuration.",
    "completion": "Print a shell's completion of commands and options.",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(
    f"  {code.value:3}  {text}" for code, text in EXIT_CODES.items()
)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"efi_image.commands.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.option(
    "--debug", is_flag=True, expose_value=False, help="Show a traceback with every error."
)
def cli() -> None:
    """Make and boot media that carry the zpp hypervisor.

    \b
    Examples:
      zpp-image make esp.img --kernel vmlinuz --cmdline quiet
      zpp-image ls esp.img /EFI
      zpp-image run esp.img
      zpp-image write esp.img /dev/sdb
    """


# a disk may be full wherever something is written: no fault of zpp-image
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# Windows has no SIGHUP
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Terminated(BaseException):
    """SIGTERM or SIGHUP as an exception, so that what is half done is undone."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _say(line: str) -> None:
    click.echo(f"zpp-image: {line}", err=True)


def _usage_line(error: click.ClickException) -> str:
    line = printable(" ".join(error.format_message().split()))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        line += f" (see {error.ctx.command_path} --help)"
    return line


def _invoke(arguments: Sequence[str] | None) -> int:
    """Do what the arguments say; errors pass through, as click's own `main` would not let them."""
    if "_ZPP_IMAGE_COMPLETE" in os.environ:  # a shell asks for completions
        cli.main(args=arguments, prog_name="zpp-image", complete_var="_ZPP_IMAGE_COMPLETE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with cli.make_context("zpp-image", words) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as done:
        code = done.exit_code
    if sys.stdout is not None:  # None: the caller has closed it
        sys.stdout.flush()
    return code if isinstance(code, int) else ExitCode.OK


def _show_traceback(error: BaseException) -> None:
    import traceback  # noqa: PLC0415 - takes a while, and errors are rare

    traceback.print_exception(error)


def _drop_output() -> None:
    """What is still to be flushed goes nowhere: nobody reads it, or it has no room."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _named(error: BaseException) -> BaseException:
    """What a full disk raises as the OutputError that it is; any other error as it is."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        _drop_output()
        where = str(error.filename or "the output")
        named = OutputError(f"cannot be written: {error.strerror}", where=where)
        named.__cause__ = error  # for --debug
        return named
    return error


def _report(error: BaseException, debug: bool) -> int:
    """Say in one line what went wrong; the exit code that stands for it."""
    if debug:
        _show_traceback(error)
    match error:
        case ZppError():
            _say(str(error))
            for line in error.details:
                click.echo(line, err=True)
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return ExitCode.USAGE
        case click.ClickException():
            _say(_usage_line(error))
            return ExitCode.USAGE
        case click.Abort() | KeyboardInterrupt():
            _say("interrupted")
            return ExitCode.INTERRUPTED
        case _Terminated():
            _say("terminated")
            return ExitCode.TERMINATED
        case BrokenPipeError():
            _drop_output()
            return ExitCode.OUTPUT
    if not debug:
        _show_traceback(error)
    _say(f"internal error: {type(error).__name__}: {printable(str(error))}")
    return ExitCode.INTERNAL


def _wants_traceback(words: Sequence[str]) -> bool:
    """Whether --debug stands before the command; behind it, it is the command's own option."""
    return "--debug" in itertools.takewhile(lambda word: word.startswith("-"), words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run zpp-image and return its exit code."""
    debug = _wants_traceback(sys.argv[1:] if arguments is None else arguments)
    # what is ignored stays ignored: nohup does that
    caught = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, _terminate) for number in caught}
    try:
        return int(_invoke(arguments))
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        return int(_report(_named(error), debug))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
