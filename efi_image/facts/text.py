"""Facts as lines for people. Names of foreign images are made harmless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from efi_image.errors import printable

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def human(size: int) -> str:
    """A size for people."""
    amount, unit = float(size), _UNITS[0]
    for larger in _UNITS[1:]:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def table(rows: Sequence[Sequence[str]], align: str) -> Iterator[str]:
    """Rows in columns; `align` has `<` or `>` for each. Control characters are escaped."""
    if not rows:
        return
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(align))]
    for row in cells:
        columns = zip(row, align, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for cell, side, width in columns).rstrip()


class _Branch:
    """A name of a tree with what is below it."""

    def __init__(self) -> None:
        self.text = ""
        self.below: dict[str, _Branch] = {}


def tree(rows: Iterable[tuple[Sequence[str], str]]) -> Iterator[str]:
    """Lines of a tree from (path, text to show); parts that are not given show their name."""
    root = _Branch()
    for path, text in rows:
        here = root
        for name in path:
            here = here.below.setdefault(name, _Branch())
            here.text = here.text or name
        here.text = text
    # a stack, for depth is the image's own
    stack = [("", list(root.below.values()))]
    while stack:
        indent, branches = stack.pop()
        if not branches:
            continue
        branch = branches.pop(0)
        stack.append((indent, branches))
        yield f"{indent}{'├── ' if branches else '└── '}{printable(branch.text)}"
        stack.append((indent + ("│   " if branches else "    "), list(branch.below.values())))
