"""Settings with the places they come from, as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from efi_image.config.environment import Config, Setting
from efi_image.config.settings import Settings
from efi_image.config.variables import VARIABLES

HIDDEN = "********"


def as_table(config: Config | None, settings: Settings | None, width: int | None = None) -> str:
    """The configuration and the settings of an image, for people.

    Where a line does not fit into `width` columns, the place of the value follows on its own.
    """
    parts = [_table(config.settings, width)] if config else []
    if settings:
        parts.append(_table(_rows_of(settings), width))
    return "\n\n".join(parts)


def document(config: Config | None, settings: Settings | None) -> dict[str, Any]:
    """The same for programs; with both, the image's settings are below the key `image`."""
    found = _document(config.settings) if config else {}
    image = _image(settings) if settings else {}
    return found | ({"image": image} if config and settings else image)


def _shown(setting: Setting) -> str:
    variable = VARIABLES.get(setting.name)
    secret = variable is not None and variable.secret
    return HIDDEN if secret and setting.value else setting.value


def _table(rows: Iterable[Setting], width: int | None) -> str:
    listed = [(each.name, _shown(each), each.origin) for each in rows]
    names = max(len(name) for name, _, _ in listed)
    values = max(len(value) for _, value, _ in listed)
    places = max(len(at) for _, _, at in listed)
    if width is None or names + values + places + 6 <= width:
        return "\n".join(f"{name:{names}} := {value:{values}}  {at}" for name, value, at in listed)
    return "\n".join(f"{name:{names}} := {value}\n    {at}" for name, value, at in listed)


def _rows_of(settings: Settings) -> Iterable[Setting]:
    yield from settings.values.values()
    for program in settings.boot:
        yield Setting("boot", str(program), "")
    for each in settings.files:
        yield Setting("files", f"{each.source}:{each.target}", each.origin)
    for part in settings.partitions:
        yield Setting("partitions", f"{part.source}:{part.type.name}:{part.name}", part.origin)


def _document(settings: Iterable[Setting]) -> dict[str, Any]:
    return {each.name: {"value": _shown(each), "origin": each.origin} for each in settings}


def _image(settings: Settings) -> dict[str, Any]:
    return {
        **_document(settings.values.values()),
        "boot": [str(program) for program in settings.boot],
        "files": [
            {"source": str(each.source), "target": each.target, "origin": each.origin}
            for each in settings.files
        ],
        "partitions": [
            {
                "source": str(each.source),
                "type": each.type.name,
                "name": each.name,
                "guid": str(each.guid or ""),
                "origin": each.origin,
            }
            for each in settings.partitions
        ],
    }
