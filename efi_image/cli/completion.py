"""`zpp-image completion`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from efi_image.cli.app import COMPLETE_VARIABLE, PROGRAM
from efi_image.errors import MissingError, OutputError, UsageError
from efi_image.io.atomic import atomic


@dataclass(frozen=True, slots=True)
class Shell:
    """Where a shell looks for a user's completions, below `variable` or `default`."""

    variable: str
    default: str
    place: str
    next_step: str = "start a new shell to use it"

    def file(self) -> Path:
        """The file for zpp-image."""
        base = os.environ.get(self.variable, "")
        return (Path(base) if base else Path.home() / self.default) / self.place


SHELLS = {
    "bash": Shell("XDG_DATA_HOME", ".local/share", f"bash-completion/completions/{PROGRAM}"),
    "zsh": Shell(
        "ZDOTDIR", "", f".zfunc/_{PROGRAM}",
        "if ~/.zshrc does not have it, add: fpath+=${ZDOTDIR:-~}/.zfunc; "
        "autoload -Uz compinit; compinit",
    ),
    "fish": Shell("XDG_CONFIG_HOME", ".config", f"fish/completions/{PROGRAM}.fish"),
}  # fmt: skip


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)), required=False)
@click.option("--install", is_flag=True, help="Write it to the file where the shell looks for it.")
def command(shell: str | None, install: bool) -> None:
    """Print or install the completion script of a shell.

    The default for SHELL is the shell that you use (the variable SHELL). The script calls
    zpp-image for each completion, so it works with later versions too.

    \b
    Examples:
      zpp-image completion --install
      zpp-image completion zsh > ~/.zfunc/_zpp-image
    """
    name = shell or _own_shell()
    source = _script(name)
    if not install:
        click.echo(source)
        return
    file = SHELLS[name].file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", where=str(file.parent)) from None
    with atomic(file) as descriptor, open(descriptor, "w", encoding="utf-8", closefd=False) as out:
        out.write(source + "\n")
    click.echo(f"{file}: installed; {SHELLS[name].next_step}")


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        what = f"there is no completion for {name}" if name else "your shell is unknown"
        raise UsageError(what, hint=f"name one of: {', '.join(SHELLS)}")
    return name


def _script(shell: str) -> str:
    group = click.get_current_context().find_root().command
    completion = get_completion_class(shell)
    assert completion is not None
    try:
        return completion(group, {}, PROGRAM, COMPLETE_VARIABLE).source()
    except RuntimeError as error:
        raise MissingError(str(error), where=shell) from None
