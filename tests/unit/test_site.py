"""The documentation's site: its source, and what it must not load. `make check` builds it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from efi_image.cli.app import COMMANDS

FOLDER = Path(__file__).resolve().parents[2] / ".ci/docs"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("build_site")


def test_source(site: ModuleType, tmp_path: Path) -> None:
    site.write_source(tmp_path / "source")
    front = (tmp_path / "source/index.md").read_text()
    assert ":caption: Tutorial\n\ndocs/tutorial/first-boot\n" in front
    assert "README.md)" not in front
    commands = tmp_path / "source/docs/reference/commands"
    assert {path.stem for path in commands.iterdir()} == {*COMMANDS, "index"}
    make = (commands / "make.md").read_text()
    assert "| `--kernel FILE` | Linux kernel, UKI or other EFI program to start. |" in make
    assert "```sh\nzpp-image make esp.img" in make
    assert "\b" not in make
    assert "## zpp-image bochs install" in (commands / "bochs.md").read_text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<link rel="stylesheet" href="_static/a.css"> <a href="https://example.org">', False),
        ('<script src="../_static/a.js"></script> <img src="a.svg">', False),
        ('<link href="https://example.org/a.css" rel="stylesheet">', True),
        ('<script defer src="//example.org/a.js"></script>', True),
        ('<img alt="x" src="http://example.org/a.png">', True),
        ("@font-face { src: local(a), url('https://example.org/a.woff2') }", True),
        ('@import "https://example.org/a.css";', True),
    ],
)
def test_what_comes_from_the_network_is_found(
    text: str, found: bool, site: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(text)
    assert bool(site.foreign(tmp_path)) == found
