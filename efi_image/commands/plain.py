"""Reads the words of a plain `make`: whole options with values that need no further look.

To import click takes longer than to make a small image (docs/adr/0009). So this reads what it
is sure of, and leaves everything else, such as help and mistakes, to click, which knows all
options (commands/make.py). A test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence

from efi_image.commands.making import CHOICES, Asked, make
from efi_image.settings import KEYS

__all__ = ["make", "read"]

LISTS = {"--boot": "boots", "--add": "additions", "--partition": "partitions"}
FLAGS = {
    "--plain-fat": ("plain_fat", True),
    "--no-hypervisor": ("no_hypervisor", True),
    "--digest": ("digest", True),
    "--no-digest": ("digest", False),
}
JSON = "--json"
MANIFEST = "--manifest"
VALUES = {f"--{key}": key for key in KEYS if key not in {"output", "digest"}}


def read(words: Sequence[str]) -> Asked | None:
    """What the words behind `make` ask for; None if click has to read them."""
    single: dict[str, str | bool | None] = {}
    lists: dict[str, list[str]] = {name: [] for name in LISTS.values()}
    as_json, manifest = False, None
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            if not word or "output" in single:
                return None
            single["output"] = word
            continue
        name, equals, value = word.partition("=")
        if name in FLAGS and not equals:
            key, state = FLAGS[name]
            single[key] = state
        elif name == JSON and not equals:
            as_json = True
        else:
            value = value if equals else next(left, "")
            if not value or value.startswith("-"):
                return None
            if name in LISTS:
                lists[LISTS[name]].append(value)
            elif name == MANIFEST:
                manifest = value
            elif name in VALUES and value in CHOICES.get(VALUES[name], (value,)):
                single[VALUES[name].replace("-", "_")] = value
            else:
                return None
    boots, additions, partitions = map(tuple, lists.values())
    return Asked(single, manifest, boots, additions, partitions, False, as_json)
