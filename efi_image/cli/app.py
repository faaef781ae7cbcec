"""The group of all commands, which are imported when they are used.

So `--version` and `--help` take little longer than click does. To add a command, add a
module to efi_image/cli whose click command is named `command`, and a line to COMMANDS.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from efi_image import __version__
from efi_image.errors import EXIT_CODES, ExitCode, printable

# name → one line of help, as the command's own docstring begins
COMMANDS: dict[str, str] = {
    "make": "Make a bootable image with the hypervisor on it.",
    "verify": "Check an image, explain why it does not boot, and repair it.",
    "ls": "List the files on an image.",
    "cat": "Write a file from an image to standard output.",
    "extract": "Extract files and directories from an image.",
    "cp": "Copy files to an image or a device, from it, or within it.",
    "rm": "Remove files and directories from an image or a device.",
    "mkdir": "Make directories on an image or a device.",
    "mv": "Rename or move files on an image or a device.",
    "inspect": "Show the structure of an image or a PE file.",
    "diff": "Compare the contents of two images or PE files.",
    "run": "Boot an image in an emulator.",
    "trace": "Show the VM exits of a run.",
    "doctor": "Check whether zpp will run on this machine or a recorded one.",
    "status": "Show the hypervisor that runs under this Linux, and each CPU.",
    "counters": "Count the VM exits since the launch, by reason and CPU.",
    "log": "Print the log of the hypervisor that runs under this Linux.",
    "booted": "Tell ZppBoot that this boot with the hypervisor completed.",
    "devices": "List disks, and which of them are safe to write.",
    "write": "Write an image to a USB stick and verify it.",
    "install": "Put zpp on this machine's ESP, as the first boot option.",
    "uninstall": "Remove zpp from this machine's ESP and from its boot options.",
    "symbolize": "Add source lines to the addresses in a crash report.",
    "bochs": "Install, check or remove the Bochs emulator.",
    "config": "Show the merged configuration.",
    "completion": "Print or install the completion script of a shell.",
}

PROGRAM = "zpp-image"
COMPLETE_VARIABLE = "_ZPP_IMAGE_COMPLETE"  # set by a shell that asks for completions

# old name of a command → its name; hidden from the help
ALIASES = {"rig": "bochs"}

# what other programs call a command → how it is called here
OTHER_NAMES = {
    "boot": "run", "build": "make", "burn": "write", "check": "verify", "compare": "diff",
    "copy": "cp", "create": "make", "dd": "write", "del": "rm", "delete": "rm", "dir": "ls",
    "disks": "devices", "export": "extract", "fix": "verify --fix",
    "flash": "write", "fsck": "verify", "get": "extract", "info": "inspect", "init": "make",
    "list": "ls", "lsblk": "devices", "lint": "verify", "md": "mkdir", "move": "mv",
    "mkfs": "make", "mkimage": "make", "new": "make", "print": "cat", "put": "cp",
    "qemu": "run", "remove": "rm", "ren": "mv", "rename": "mv", "repair": "verify --fix",
    "show": "inspect", "start": "run", "tree": "ls --tree", "type": "cat",
    "undo": "verify --undo", "unpack": "extract", "validate": "verify",
}  # fmt: skip

EPILOG = "\b\nExit codes:\n" + "\n".join(
    f"  {code.value:3}  {text}" for code, text in EXIT_CODES.items()
)


def meant_by(name: str) -> str:
    """The command that a wrong name probably means, or ''."""
    import difflib  # noqa: PLC0415

    known = [*COMMANDS, *OTHER_NAMES]
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return OTHER_NAMES.get(close[0], close[0]) if close else ""


def _not_empty(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuse an argument that a script gave without a value."""
    is_given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    if is_given and (value == "" or (isinstance(value, tuple) and "" in value)):
        raise click.UsageError(f"{parameter.human_readable_name} is empty", ctx)
    return value


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"efi_image.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        for parameter in command.params:
            if isinstance(parameter, click.Argument) and parameter.callback is None:
                parameter.callback = _not_empty
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command; the UsageError for a wrong name suggests one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            meant = meant_by(args[0])
            if not meant:
                raise
            what = f"No such command '{args[0]}'; did you mean `{PROGRAM} {meant}`?"
            raise click.UsageError(what, ctx) from None

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
      zpp-image make esp.img --kernel vmlinuz --initrd initrd.img --cmdline console=ttyS0,115200
      zpp-image ls esp.img /EFI
      zpp-image run esp.img
      zpp-image write esp.img /dev/sdb
    """


def color() -> bool | None:
    """False if the user wants no colours (https://no-color.org); None: only on a terminal."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def invoke(words: Sequence[str]) -> int:
    """Run the command that the words name; unlike in click's own `main`, errors pass through.

    Raises ZppError, click's exceptions, and what else the command does not catch.
    """
    if COMPLETE_VARIABLE in os.environ:
        cli.main(args=words, prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE)
    try:
        with cli.make_context(PROGRAM, list(words), color=color()) as context:
            code = cli.invoke(context)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        return ExitCode.USAGE
    except click.exceptions.Exit as done:
        code = done.exit_code
    return code if isinstance(code, int) else ExitCode.OK


def describe_error(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the message for an error of click's; None for other errors."""
    match error:
        case click.ClickException():
            return ExitCode.USAGE, _usage_line(error)
        case click.Abort():
            return ExitCode.INTERRUPTED, "interrupted"
    return None


def _usage_line(error: click.ClickException) -> str:
    line = printable(" ".join(error.format_message().split()))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        line += f" (see {error.ctx.command_path} --help)"
    return line
