"""`zpp-image config`."""

from __future__ import annotations

from pathlib import Path

import click

from efi_image.cli.json_output import show_json
from efi_image.cli.path_type import PathType
from efi_image.cli.terminal import columns
from efi_image.config import manifest, show
from efi_image.config.environment import load
from efi_image.config.settings import merge


@click.command("config")
@click.option("--show", "with_image", is_flag=True, help="Show the settings of `make` as well.")
@click.option(
    "--manifest",
    "path",
    metavar="FILE",
    type=PathType(path_type=Path),
    help="Show the settings of `make` with this manifest.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(with_image: bool, path: Path | None, as_json: bool) -> None:
    """Show the merged configuration.

    Shows each value and the place that it comes from: environment.config, environment.local,
    the environment, or the default. Passwords are hidden. With --show or --manifest, the
    settings of an image follow: from the manifest, the configuration or the default.

    \b
    Examples:
      zpp-image config
      zpp-image config --show --manifest image.toml
    """
    config = load()
    layers = [manifest.load(path)] if path else []
    image = merge(config, *layers) if with_image or path else None
    if as_json:
        show_json(show.document(config, image))
    else:
        click.echo(show.as_table(config, image, columns()))
