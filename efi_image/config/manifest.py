"""A manifest: the options of `zpp-image make` as a TOML file (docs/reference/manifest.md).

It is checked here for its form: the keys, and the types of values; config/resolve.py checks
the values. Paths are relative to the manifest's folder.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from efi_image.build.options import Addition
from efi_image.config.environment import Setting
from efi_image.config.settings import KEYS, Kind, Settings
from efi_image.config.values import partition
from efi_image.errors import InputError, ManifestError
from efi_image.io.source import FileSource

MAX_SIZE = 1 << 20
MAX_ENTRIES = 1 << 16  # of a list

_FILE_KEYS = {"source": True, "target": False}
_PARTITION_KEYS = {"source": True, "type": False, "name": False, "guid": False}


class _Reader:
    """Turns the tables of a manifest into Settings."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fault(self, key: str, what: str, hint: str = "") -> ManifestError:
        return ManifestError(what, where=f"{self._path}: {key}", hint=hint)

    def unknown(self, key: str, known: Iterable[str], place: str = "") -> ManifestError:
        close = difflib.get_close_matches(key, list(known), n=1)
        hint = f"did you mean '{close[0]}'?" if close else ""
        return self.fault(place + key, "unknown key", hint)

    def path(self, text: str) -> str:
        """A path, relative to the manifest's folder."""
        return str(self._path.parent / text) if text else ""

    def setting(self, key: str, value: object) -> Setting:
        kind = KEYS[key].kind
        if isinstance(value, bool):
            if kind is not Kind.SWITCH:
                raise self.fault(key, "cannot be true or false")
            value = "on" if value else KEYS[key].off
        elif isinstance(value, int):
            if kind is not Kind.NUMBER:
                raise self.fault(key, "must be a string", 'write it in quotes: "…"')
            value = str(value)
        elif not isinstance(value, str):
            also = "true, false or " if kind is Kind.SWITCH else ""
            raise self.fault(key, f"must be {also}a string")
        text = self.path(value) if kind is Kind.PATH and value != "-" else value
        return Setting(key, text, f"{self._path}: {key}")

    def array(self, key: str, value: object) -> list[Any]:
        if not isinstance(value, list):
            raise self.fault(key, "must be an array")
        if len(value) > MAX_ENTRIES:
            raise self.fault(key, f"has {len(value)} entries; the limit is {MAX_ENTRIES}")
        return value

    def paths(self, key: str, value: object) -> tuple[Path, ...]:
        values = self.array(key, [value] if isinstance(value, str) else value)
        if not all(isinstance(each, str) and each for each in values):
            raise self.fault(key, "must be an array of paths")
        return tuple(Path(self.path(each)) for each in values)

    def rows(self, key: str, value: object, known: dict[str, bool]) -> list[dict[str, str]]:
        """An array of tables whose values are strings; `known` tells which key is a path."""
        rows = []
        for number, row in enumerate(self.array(key, value), 1):
            place = f"{key}[{number}]."
            if not isinstance(row, dict):
                raise self.fault(place.rstrip("."), "must be a table")
            for name, text in row.items():
                if name not in known:
                    raise self.unknown(name, known, place)
                if not isinstance(text, str):
                    raise self.fault(place + name, "must be a string")
            if not row.get("source"):
                raise self.fault(place + "source", "is missing")
            rows.append({k: self.path(v) if known[k] else v for k, v in row.items()})
        return rows

    def read(self, tables: dict[str, Any]) -> Settings:
        lists = {"boot", "files", "partitions"}
        for key in tables:
            if key not in KEYS and key not in lists:
                raise self.unknown(key, [*KEYS, *lists])
        files = self.rows("files", tables.get("files", []), _FILE_KEYS)
        partitions = self.rows("partitions", tables.get("partitions", []), _PARTITION_KEYS)
        return Settings(
            values={k: self.setting(k, v) for k, v in tables.items() if k not in lists},
            boot=self.paths("boot", tables.get("boot", [])),
            files=tuple(
                Addition(Path(row["source"]), row.get("target", ""), f"{self._path}: files[{n}]")
                for n, row in enumerate(files, 1)
            ),
            partitions=tuple(
                partition(
                    row["source"],
                    row.get("type", "linux"),
                    row.get("name", ""),
                    row.get("guid", ""),
                    f"{self._path}: partitions[{number}]",
                )
                for number, row in enumerate(partitions, 1)
            ),
        )


def parse(text: str, path: Path) -> Settings:
    """The settings in the text of a manifest at that path; raises ManifestError, UsageError."""
    import tomllib  # noqa: PLC0415

    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ManifestError("is nested too deeply", where=str(path)) from None
    except ValueError as error:
        raise ManifestError(f"is not valid TOML: {error}", where=str(path)) from None
    return from_tables(tables, path)


def from_tables(tables: dict[str, Any], path: Path) -> Settings:
    """The settings in the values of a manifest; raises ManifestError, UsageError."""
    return _Reader(path).read(tables)


def load(path: str | PathLike[str]) -> Settings:
    """Read a manifest; raises InputError, UsageError."""
    path = Path(path)
    source = FileSource.open(path)
    if source.size > MAX_SIZE:
        raise InputError(f"has {source.size} bytes; the limit is {MAX_SIZE}", where=source.name)
    try:
        text = b"".join(bytes(chunk) for chunk in source.chunks()).decode()
    except UnicodeDecodeError as error:
        raise ManifestError(f"is not UTF-8 at byte {error.start}", where=source.name) from None
    return parse(text, path)
