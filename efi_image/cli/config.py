"""`zpp-image config`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from efi_image.config.environment import VARIABLES, Config, Setting, load
from efi_image.config.manifest import load as load_manifest
from efi_image.config.options import Manifest
from efi_image.config.resolve import Recipe, merge

HIDDEN = "********"


def _shown(setting: Setting) -> str:
    variable = VARIABLES.get(setting.name)
    secret = variable is not None and variable.secret
    return HIDDEN if secret and setting.value else setting.value


def _table(settings: Iterable[Setting]) -> str:
    rows = list(settings)
    name_width = max(len(setting.name) for setting in rows)
    value_width = max(len(_shown(setting)) for setting in rows)
    return "\n".join(
        f"{s.name:{name_width}} := {_shown(s):{value_width}}  {s.origin}" for s in rows
    )


def _rows(settings: Iterable[Setting]) -> dict[str, dict[str, str]]:
    return {s.name: {"value": _shown(s), "origin": s.origin} for s in settings}


def recipe_table(recipe: Recipe) -> str:
    """The settings of an image, for people."""
    rows = list(recipe.settings.values())
    rows += [Setting("boot", file, "") for file in recipe.boots]
    rows += [Setting("files", f"{each.source}:{each.target}", each.origin) for each in recipe.files]
    rows += [
        Setting("partitions", f"{each.source}:{each.type}:{each.name}", each.origin)
        for each in recipe.partitions
    ]
    return _table(rows)


def _recipe_rows(recipe: Recipe) -> dict[str, object]:
    return {
        **_rows(recipe.settings.values()),
        "boot": recipe.boots,
        "files": [asdict(each) for each in recipe.files],
        "partitions": [asdict(each) for each in recipe.partitions],
    }


def recipe_json(recipe: Recipe) -> str:
    """The settings of an image, for programs."""

    return json.dumps(_recipe_rows(recipe), indent=2)


def _recipe(config: Config, manifest: Path | None) -> Recipe:

    return merge(config, load_manifest(manifest) if manifest else Manifest())


@click.command("config")
@click.option("--show", is_flag=True, help="Show the settings of `make`, too.")
@click.option(
    "--manifest",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Merge a manifest of `make`, too (with --show).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(show: bool, manifest: Path | None, as_json: bool) -> None:
    """Show the merged configuration.

    Each value with the place it comes from: environment.config, environment.local,
    the environment, or the default. A password is not shown. With --show or --manifest,
    the settings of an image follow: from the manifest, the configuration or the default.

    \b
    Examples:
      zpp-image config
      zpp-image config --show --manifest image.toml
    """
    config = load()
    recipe = _recipe(config, manifest) if show or manifest else None
    if as_json:
        rows: dict[str, object] = {**_rows(config.settings)}
        if recipe:
            rows["image"] = _recipe_rows(recipe)

        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(_table(config.settings))
    if recipe:
        click.echo(f"\n{recipe_table(recipe)}")
