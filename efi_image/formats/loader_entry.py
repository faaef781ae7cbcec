"""Loader entries of the Boot Loader Specification: which files are entries, and their IDs.

Type #1 is \\loader\\entries\\NAME.conf, type #2 is \\EFI\\Linux\\NAME.efi. NAME may end with a boot
counter, `+LEFT` or `+LEFT-DONE`, which is not part of the ID.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

FOLDERS: dict[tuple[str, ...], str] = {("loader", "entries"): ".conf", ("efi", "linux"): ".efi"}
_COUNTER = re.compile(r"(?<=.)\+[0-9]+(-[0-9]+)?\Z")


def entry_id(path: Sequence[str]) -> str:
    """The ID of the entry at a path; '' if the file is not an entry."""
    *folder, name = path
    suffix = FOLDERS.get(tuple(part.lower() for part in folder), "")
    stem, ending = name[: -len(suffix)], name[-len(suffix) :]
    if not suffix or not stem or ending.lower() != suffix:
        return ""
    return _COUNTER.sub("", stem) + ending


def matches(identity: str, pattern: str) -> bool:
    """Whether ZppBoot takes an entry for the one that `default` names: `*` and `?`, any case."""
    return fnmatchcase(identity.lower(), pattern.lower().replace("[", "[[]"))
