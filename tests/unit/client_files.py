"""Files that zpp.ko shows: AMD-V, with one CPU offline and one that runs without zpp."""

from __future__ import annotations

from pathlib import Path

STATE = """\
version 0.1.0
cpus 3
pages 1145
uses AMD-V
cpu 0 index 0
cpu 1 index 2
cpu 2 offline
cpu 3 bare
"""
EXITS = """\
cpu reason count
0 0x72 1000
0 0xa8 7
2 0x72 234
2 0xbf 2
"""
LOG = "zpp: CPU 0 (APIC ID 0) virtualized with AMD-V\n"


def write(folder: Path) -> Path:
    """Writes them to a new folder."""
    folder.mkdir()
    for name, text in (("state", STATE), ("exits", EXITS), ("log", LOG)):
        (folder / name).write_text(text)
    return folder
