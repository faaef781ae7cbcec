"""What `zpp-image make` does, whoever has read its options: click, or commands/plain.py."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from efi_image.build.esp import Addition, contents
from efi_image.build.image import ImageOptions, Item, Report, build, source_date
from efi_image.build.output import Form, Target
from efi_image.build.partitions import Table
from efi_image.cli.config import recipe_json, recipe_table
from efi_image.cli.progress_bar import Meter
from efi_image.config import manifest
from efi_image.config.environment import Setting, load
from efi_image.config.options import KEYS, ListedFile, Manifest
from efi_image.config.resolve import Hypervisor, Recipe, merge, parse_partition
from efi_image.errors import UsageError
from efi_image.render.text import human

LISTED = 40  # files

# key → what it can be
CHOICES = {
    "table": [each.value for each in Table],
    "fat": ["12", "16", "32"],
    "sector-size": ["512", "4096"],
    "hypervisor": [each.value for each in Hypervisor],
    "output-format": [each.value for each in Form],
}

SHORTHANDS = {
    "plain_fat": Setting("table", Table.NONE.value, "--plain-fat"),
    "no_hypervisor": Setting("hypervisor", Hypervisor.OFF.value, "--no-hypervisor"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one `make`; `single` are those of keys and SHORTHANDS, with `_` for `-`.

    An option that was not given may be None, or missing.
    """

    single: Mapping[str, str | bool | None]
    manifest: str | None = None
    boots: tuple[str, ...] = ()
    additions: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    show: bool = False
    as_json: bool = False


def make(asked: Asked) -> None:
    """Make the image, or show what would be made."""
    recipe = _recipe(asked)
    if asked.show:
        _show(recipe, asked.as_json)
        return
    items = contents(recipe.esp_options())
    target = recipe.target()
    options = recipe.image_options(source_date(os.environ))
    report = _built(items, options, target)
    # standard output is the image's if it goes there
    click.echo(_json(report) if asked.as_json else _summary(report), err=target.is_standard)


def _built(items: list[Item], options: ImageOptions, target: Target) -> Report:
    """The image, made with progress shown where there is a terminal."""
    if not (sys.stderr and sys.stderr.isatty()):
        return build(items, options, target)

    with Meter() as meter:
        return build(items, options, target, meter.progress)


def _recipe(asked: Asked) -> Recipe:
    parsed = [Addition.parse(text) for text in asked.additions]
    return merge(
        load(),
        _manifest(asked.manifest) if asked.manifest is not None else Manifest(),
        _settings(asked.single),
        boots=asked.boots,
        files=tuple(ListedFile(each.source, each.target, "--add") for each in parsed),
        partitions=tuple(parse_partition(text) for text in asked.partitions),
    )


def _settings(options: Mapping[str, str | bool | None]) -> list[Setting]:
    """The settings that were given as options; raises UsageError if two are for one key."""
    given: dict[str, Setting] = {}
    found = [setting for name, setting in SHORTHANDS.items() if options.get(name)]
    for key in KEYS:
        value = options.get(key.replace("-", "_"))
        if isinstance(value, bool):
            value = "on" if value else "off"
        if value is not None:
            found.append(Setting(key, value, f"--{key}" if key != "output" else "OUTPUT"))
    for setting in found:
        before = given.setdefault(setting.name, setting)
        if before.value != setting.value:
            raise UsageError(f"does not go with {setting.origin}", where=before.origin)
    return list(given.values())


def _manifest(path: str) -> Manifest:

    return manifest.load(Path(path))


def _show(recipe: Recipe, as_json: bool) -> None:

    click.echo(recipe_json(recipe) if as_json else recipe_table(recipe))


def _json(report: Report) -> str:

    return json.dumps(asdict(report), indent=2)


def _summary(report: Report) -> str:
    has_table = report.table != Table.NONE.value
    kind = f"{report.table.upper()} image with a" if has_table else "plain"
    volume = f"{report.fat} {'ESP' if has_table else 'volume'}"
    rows = [(file.path, file.size) for file in report.files[:LISTED]]
    more = len(report.files) - len(rows)
    rows += [(f"partition {part.name or part.type}", part.size) for part in report.partitions[1:]]
    width = max((len(name) for name, _ in rows), default=0)
    lines = [
        f"{report.output}: {human(report.size)}, {kind} {volume}, {human(report.free)} free",
        *(f"  {name:{width}}  {human(size):>10}" for name, size in rows),
    ]
    if more:
        lines.append(f"  … and {more} more files; --json lists them all")
    if report.sha256:
        lines.append(f"sha256 {report.sha256}")
    return "\n".join(lines)
