"""Links, pictures and paths in the documentation exist; so do the pages that sources name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from efi_image.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[2]
# Folders at the root: a path in backticks that begins with one of them has to exist.
SOURCES = (
    ".ci", ".github", "docs", "efi_image", "examples", "hypervisor", "linux", "ovmf", "tests",
    "uefi", "windows",
)  # fmt: skip
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
NEW_FILE = re.compile(r"[Nn]ew\s+file\s+`([^`]+)`")  # a recipe makes it
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
# What a build makes in a folder of sources, and what the page says must be made.
NOT_COMMITTED = re.compile(r"^(linux|windows)/.*\.(ko|sys|pdb)$|^windows/.*\.unsigned\.sys$")


@lru_cache(maxsize=1)
def tracked() -> tuple[str, ...]:
    files = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return tuple(name for name in files.stdout.splitlines() if (ROOT / name).is_file())


def pages() -> list[str]:
    return [name for name in tracked() if name.endswith(".md")]


def anchor(heading: str) -> str:
    """The fragment that hosts of Git repositories make of a heading."""
    text = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {anchor(heading) for heading in re.findall(r"^#+ +(.*)$", text, re.MULTILINE)}


def broken_links(page: Path) -> Iterator[str]:
    """Relative links of a page that lead to no file, or to no heading of it."""
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, fragment = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        if not target.exists():
            yield f"{page.name}: {link} is missing"
        elif fragment and target.suffix == ".md" and fragment not in anchors(target):
            yield f"{page.name}: {link}: there is no such heading"


def missing_paths(page: Path) -> Iterator[str]:
    """Paths in backticks that begin with a folder of sources, and are not there."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    new = set(NEW_FILE.findall(text))
    for words in CODE.findall(text):
        word = words.partition(" ")[0].rstrip(".,:;")
        if word.partition("/")[0] not in SOURCES or "/" not in word:
            continue
        name = word.partition("::")[0]
        if name in new or NOT_COMMITTED.match(name) or any(c in name for c in "…<>$"):
            continue
        found = any(ROOT.glob(name)) if "*" in name else (ROOT / name).exists()
        if not found:
            yield f"{page.name}: `{words}` is not in the repository"


@pytest.mark.parametrize("name", pages())
def test_page(name: str) -> None:
    page = ROOT / name
    assert [*broken_links(page), *missing_paths(page)] == []


def test_pages_that_sources_name() -> None:
    named = {
        (match[0], name)
        for name in tracked()
        if name.startswith((*SOURCES, "Makefile", "environment.config"))
        and not name.endswith(".md")
        and name != "tests/unit/test_docs_links.py"
        for match in re.finditer(
            r"(?<![\w/])docs/[\w./-]+\.(?:md|svg|py)\b", (ROOT / name).read_text("utf-8", "replace")
        )
    }
    assert named  # it has found some
    assert sorted(f"{name}: {page}" for page, name in named if not (ROOT / page).exists()) == []


def test_every_page_can_be_found() -> None:
    """Each page of docs/ is linked from another one."""
    linked = {
        (ROOT / name).parent.joinpath(link.partition("#")[0]).resolve()
        for name in pages()
        for link in LINK.findall((ROOT / name).read_text(encoding="utf-8"))
        if not link.startswith("#")
    }
    documents = [ROOT / name for name in pages() if name.startswith("docs/")]
    assert documents
    assert [page.name for page in documents if page not in linked] == []


def test_pictures_are_what_their_source_draws(tmp_path: Path) -> None:
    source = ROOT / "docs/pictures/draw.py"
    for script in source.parent.glob("*.py"):
        shutil.copy(script, tmp_path)
    subprocess.run([sys.executable, tmp_path / "draw.py"], check=True)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert drawn
    for picture in drawn:
        committed = source.parent / picture.name
        assert picture.read_bytes() == committed.read_bytes(), "run docs/pictures/draw.py"


def test_exit_codes_are_those_of_the_tool() -> None:
    rows = "".join(f"| {code.value} | {text} |\n" for code, text in EXIT_CODES.items())
    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    assert f"| code | meaning |\n| --- | --- |\n{rows}\n" in page, "write them into the page"


def test_the_rules(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A heading, with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-heading-with-code) [c](https://example.org) ![p](gone.svg)\n"
        "[d](gone.md) [e](other.md#gone) `efi_image/gone.py` `efi_image/*.py` `docs/README.md`\n"
        "New file `docs/new.md`: `docs/new.md`\n"
        "```\n[f](not-a-link.md) `efi_image/nor-this.py`\n```\n"
    )
    assert [*broken_links(page)] == [
        "page.md: gone.svg is missing",
        "page.md: gone.md is missing",
        "page.md: other.md#gone: there is no such heading",
    ]
    assert [*missing_paths(page)] == ["page.md: `efi_image/gone.py` is not in the repository"]
