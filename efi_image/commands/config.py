"""`zpp-image config`."""

from __future__ import annotations

import json

import click

from efi_image.config import VARIABLES, Config, Setting, load

HIDDEN = "********"


def _shown(setting: Setting) -> str:
    return HIDDEN if VARIABLES[setting.name].secret and setting.value else setting.value


def _table(config: Config) -> str:
    name_width = max(len(setting.name) for setting in config.settings)
    value_width = max(len(_shown(setting)) for setting in config.settings)
    return "\n".join(
        f"{s.name:{name_width}} := {_shown(s):{value_width}}  {s.origin}" for s in config.settings
    )


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(as_json: bool) -> None:
    """Show the merged configuration.

    Each value with the place it comes from: environment.config, environment.local,
    the environment, or the default. A password is not shown.
    """
    config = load()
    if as_json:
        rows = {s.name: {"value": _shown(s), "origin": s.origin} for s in config.settings}
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(_table(config))
