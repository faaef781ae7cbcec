"""`zpp-image completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from efi_image.cli.app import COMPLETE_VARIABLE, PROGRAM
from efi_image.errors import MissingError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    The script calls zpp-image for each completion, so it works with later versions as well.

    \b
    Examples:
      zpp-image completion bash > ~/.local/share/bash-completion/completions/zpp-image
      zpp-image completion zsh > ~/.zfunc/_zpp-image
      zpp-image completion fish > ~/.config/fish/completions/zpp-image.fish
    """
    group = click.get_current_context().find_root().command
    completion = get_completion_class(shell)
    assert completion is not None
    try:
        source = completion(group, {}, PROGRAM, COMPLETE_VARIABLE).source()
    except RuntimeError as error:
        raise MissingError(str(error), where=shell) from None
    click.echo(source)
