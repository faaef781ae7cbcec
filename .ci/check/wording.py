"""Find words in docs, help and messages that CONTRIBUTING.md's word list says not to write.

Reads the table there: its column "not" has phrases in backquotes, its column "but" what may stand
all the same. Looks at Markdown files, and at the strings of the Python and C sources.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = "CONTRIBUTING.md"
HEADER = "| write | not | but |"
# Tests quote what was wrong once; a changelog and measurements are of their time.
SKIPPED = re.compile(r"^(tests/|CHANGELOG\.md|LICENSE|docs/notes/|hypervisor/src/)")
C_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the word list."""

    write: str
    banned: re.Pattern[str]
    allowed: tuple[re.Pattern[str], ...]

    def find(self, text: str) -> Iterator[re.Match[str]]:
        kept = [match.span() for pattern in self.allowed for match in pattern.finditer(text)]
        for found in self.banned.finditer(text):
            if not any(start <= found.start() and found.end() <= end for start, end in kept):
                yield found


def read_list(guide: str) -> list[Entry]:
    """The entries of the word list in the guide's text."""
    rows = guide.partition(HEADER)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [
        Entry(write, phrases(banned), tuple(phrases(f"`{text}`") for text in quoted(allowed)))
        for write, banned, allowed in cells
    ]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def phrases(cell: str) -> re.Pattern[str]:
    """Any of the quoted phrases, as whole words, over line ends too."""
    words = [r"\s+".join(map(re.escape, phrase.split())) for phrase in quoted(cell)]
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file that people read, each with the number of its first line."""
    content = path.read_text()
    match path.suffix:
        case ".md":
            yield 1, content
        case ".py":
            for node in ast.walk(ast.parse(content)):
                match node:
                    case ast.Constant(value=str(text)) if " " in text:  # else it is a name
                        yield node.lineno, text
        case ".c" | ".h" | ".cpp" | ".hpp":
            for number, line in enumerate(content.splitlines(), 1):
                yield from ((number, found[1]) for found in C_STRING.finditer(line))


def check(files: Iterable[Path], entries: list[Entry]) -> Iterator[str]:
    """One line for each word that is not to be written."""
    for path in files:
        for first, text in texts(path):
            for entry in entries:
                for found in entry.find(text):
                    line = first + text.count("\n", 0, found.start())
                    yield f"{path}:{line}: write '{entry.write}', not '{found[0]}'"


def main() -> int:
    entries = read_list((ROOT / GUIDE).read_text())
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    files = [
        Path(name)
        for name in listed.stdout.splitlines()
        if not SKIPPED.match(name) and name != GUIDE and Path(name).exists()
    ]
    wrong = list(check(files, entries))
    print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
