"""Write the man pages of zpp-image and its commands: man_pages.py FOLDER [DATE].

click-man writes help texts as they are, so this makes them roff first.
"""

from __future__ import annotations

import re
import sys
from inspect import cleandoc
from pathlib import Path

import click
from click_man.core import write_man_pages

from efi_image import __version__
from efi_image.cli.app import COMMANDS, cli
from efi_image.errors import EXIT_CODES

_BLOCK = re.compile(r"\x08\n(\w[^\n]*):\n((?: +[^\n]*(?:\n|$))+)")


def escaped(text: str) -> str:
    """Text as roff shows it: no backslash is an escape, no line a request."""
    return re.sub(r"(?m)^([.'])", r"\\&\1", text.replace("\\", "\\e"))


def block(match: re.Match[str]) -> str:
    """A paragraph that is not filled, as a section of its own: examples, exit codes."""
    lines = "\n".join(line.strip() for line in match[2].splitlines())
    return f".SH {match[1].upper()}\n.nf\n{lines}\n.fi\n"


def prepare(command: click.Command) -> click.Command:
    """Make the texts of a command, and of those below it, roff."""
    text = escaped(cleandoc(command.help or ""))
    if command.epilog:
        text += "\n\n" + escaped(cleandoc(command.epilog))
    command.help = _BLOCK.sub(block, text).replace("\n\n.SH", "\n.SH")
    command.short_help = command.get_short_help_str(200)
    for option in command.params:
        if isinstance(option, click.Option) and option.help:
            option.help = escaped(option.help)
    for below in getattr(command, "commands", {}).values():
        prepare(below)
    return command


def whole() -> click.Group:
    """zpp-image with all its commands loaded, as click-man wants it."""
    context = click.Context(cli, info_name="zpp-image")
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    codes = "\b\nExit status:\n" + "\n".join(
        f"  {code.value:3}  {text}" for code, text in EXIT_CODES.items()
    )
    return click.Group(
        "zpp-image",
        commands={name: command for name, command in commands.items() if command},
        params=cli.params,
        help=cli.help,
        epilog=codes,
    )


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    date = sys.argv[2] if len(sys.argv) > 2 else None
    group = prepare(whole())
    write_man_pages("zpp-image", group, version=__version__, target_dir=str(folder), date=date)
    return 0


if __name__ == "__main__":
    sys.exit(main())
