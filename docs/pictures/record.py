"""Records `make run` on a terminal of 100 columns, and draws it as run.svg.

.venv/bin/python docs/pictures/record.py [FILE]: FILE is a recording instead, such as one of
`script -c 'make run' FILE`. Lines of the set-up and of the firmware are left out.
"""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make run"
WIDTH = 100
LEFT_OUT = re.compile(r"^(setup: |BdsDxe: |Script |  CXX |  LD |EDK2 )")
# Rich's own frame loads a font from the network; this one loads nothing.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>make run: zpp takes each CPU, and Linux runs on it</title>
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">
{matrix}
</g></g>
</svg>
"""


def record() -> str:
    """What the command writes to a terminal."""
    os.environ.update(COLUMNS=str(WIDTH), TERM="xterm-256color")
    chunks: list[bytes] = []

    def read(descriptor: int) -> bytes:
        chunks.append(os.read(descriptor, 4096))
        return chunks[-1]

    os.chdir(ROOT)
    status = pty.spawn(COMMAND.split(), read)
    if status != 0:
        sys.exit(f"{COMMAND} failed")
    return b"".join(chunks).decode(errors="replace")


def draw(recording: str) -> str:
    """The recording as SVG."""
    lines = recording.replace("\r", "").replace(str(Path.home()), "~").splitlines()
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        for line in lines:
            if not LEFT_OUT.match(line):
                console.print(Text.from_ansi(line), soft_wrap=False)
        return console.export_svg(
            title="", theme=MONOKAI, code_format=FRAME, unique_id="run", font_aspect_ratio=0.61
        )


def main() -> None:
    recording = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else record()
    Path(__file__).with_name("run.svg").write_text(draw(recording), encoding="utf-8")


if __name__ == "__main__":
    main()
