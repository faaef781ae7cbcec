"""An SVG picture, and the words that draw it. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK = "#1f2933"
FAINT = "#6b7785"
LINE = "#4a5562"
PANEL = "#f4f6f8"
TOOL = "#dbeafe"
LOADER = "#fde9c8"
CORE = "#d9f2dd"
GUEST = "#eadcf8"
PLAIN = "#ffffff"


class Picture:
    """SVG elements, and the words that draw them."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.elements: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 13,
        anchor: str = "middle",
        bold: bool = False,
        colour: str = INK,
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
            f' fill="{colour}"{weight}>{escape(words)}</text>'
        )

    def box(
        self,
        place: tuple[float, float, float, float],
        title: str,
        lines: Sequence[str] = (),
        *,
        fill: str = PLAIN,
        size: int = 12,
    ) -> None:
        """A box at (x, y, width, height) with its words in the middle."""
        x, y, width, height = place
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"'
            f' fill="{fill}" stroke="{LINE}"/>'
        )
        step = size + 5
        top = y + (height - step * len(lines)) / 2 + 5
        self.text(x + width / 2, top, title, bold=True)
        for number, line in enumerate(lines, 1):
            self.text(x + width / 2, top + number * step, line, size=size)

    def panel(self, place: tuple[float, float, float, float], title: str) -> None:
        """A large area that holds boxes, with its title on top."""
        x, y, width, height = place
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="10"'
            f' fill="{PANEL}"/>'
        )
        self.text(x + 14, y + 22, title, size=14, anchor="start", bold=True, colour=FAINT)

    def arrow(self, *points: tuple[float, float], both: bool = False) -> None:
        where = " ".join(f"{x:g},{y:g}" for x, y in points)
        start = ' marker-start="url(#head)"' if both else ""
        self.elements.append(
            f'<polyline points="{where}" fill="none" stroke="{LINE}" stroke-width="1.5"'
            f'{start} marker-end="url(#head)"/>'
        )

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.elements.append(
            f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"'
            f' stroke="{LINE}" stroke-dasharray="2 4"/>'
        )

    def label(
        self, centre: float, y: float, words: Sequence[str], *, fill: str = "#ffffff"
    ) -> None:
        """Lines of text on a patch of colour, centred."""
        width = max(len(word) for word in words) * 6.6 + 12
        height = 15 * len(words) + 6
        self.elements.append(
            f'<rect x="{centre - width / 2:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
            f' rx="4" fill="{fill}"/>'
        )
        for number, word in enumerate(words):
            self.text(centre, y + 15 + 15 * number, word, size=12)

    def svg(self) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
                ' font-family="DejaVu Sans, Verdana, sans-serif">',
                f"<title>{escape(self.title)}</title>",
                '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8"'
                f' markerHeight="8" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z"'
                f' fill="{LINE}"/></marker></defs>',
                f'<rect width="{self.width}" height="{self.height}" rx="10" fill="#ffffff"/>',
                *self.elements,
                "</svg>",
                "",
            ]
        )
