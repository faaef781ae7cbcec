"""Every code block of README.md and docs/ is run or read here, or says why it is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import blocks as documented
import pytest
import yaml
from blocks import Block
from makepe import BOOT_DRIVER, make_pe

from efi_image.config import manifest
from efi_image.formats import zpp_conf

PAGES = documented.pages()
BLOCKS = [block for page in PAGES for block in documented.blocks(page)]


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `zpp-image`, with programs that firmware would load."""
    folder = tmp_path_factory.mktemp("tool")
    (folder / "ZppBoot.efi").write_bytes(make_pe(text=os.urandom(4000)))
    (folder / "ZppDxe.efi").write_bytes(make_pe(subsystem=BOOT_DRIVER, text=os.urandom(4096)))
    return documented.make_tool(folder, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder, with a kernel and what belongs to it."""
    place = tmp_path / "reader"
    place.mkdir()
    (place / "vmlinuz").write_bytes(make_pe(text=os.urandom(9000)))
    (place / "initrd.img").write_bytes(b"070701" + os.urandom(20000))
    return place


def test_every_block_is_run_read_or_marked() -> None:
    known = (*documented.COMMANDS, *documented.DATA)
    marks = ("", "boot", "gdb")
    unmarked = [b for b in BLOCKS if not b.reason]
    assert BLOCKS
    assert [f"{b}: {b.mark}" for b in unmarked if b.mark not in marks] == []
    unknown = [b for b in unmarked if b.language not in known and b.mark != "gdb"]
    assert [f"{b}: {b.language}" for b in unknown] == []
    assert [str(b) for b in documented.runnable(BLOCKS) if "/dev/sd" in b.text] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_only_indented(page: str) -> None:
    assert documented.indented_blocks(page) == []


@pytest.mark.parametrize("page", [p for p in PAGES if documented.runnable(documented.blocks(p))])
def test_commands(page: str, folder: Path, tool: Path) -> None:
    """A whole page in one shell; a page that boots runs in tests/boot/."""
    found = documented.runnable(documented.blocks(page))
    if not any(block.boots for block in found):
        documented.run(found, folder, tool)


def read(block: Block, folder: Path) -> None:
    match block.language:
        case "toml":
            manifest.parse(block.text, folder / "disk.toml")
        case "json":
            json.loads(block.text)
        case "yaml":
            yaml.safe_load(block.text)
        case "ini":
            zpp_conf.parse(block.text.encode("ascii"))


DATA_BLOCKS = [b for b in BLOCKS if b.language in documented.DATA and not b.reason]


@pytest.mark.parametrize("block", DATA_BLOCKS, ids=str)
def test_data(block: Block, folder: Path, tool: Path) -> None:
    if block.language == "python":
        documented.run_python(block, folder, tool)
    else:
        read(block, folder)


PAGE = """\
Text.

```
echo one
```

<!-- not run: it has no reason to -->
```sh
false
```

- in a list:

      not a block

  ```console
  $ echo "0x12 two"
  0x34 …
  $ printf '%s' \\
      three
  three
  ```

Also:

    an indented block
"""


def test_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    monkeypatch.setattr(documented, "ROOT", tmp_path)
    found = documented.blocks("page.md")
    assert [(b.line, b.language) for b in found] == [(3, ""), (8, "sh"), (16, "console")]
    assert found[1].reason == "it has no reason to"
    assert documented.indented_blocks("page.md") == [26]
    wanted = documented.runnable(found)
    documented.run(wanted, tmp_path, tmp_path)
    assert [*wanted[1].steps()][1] == ("printf '%s' \\\n    three\n", "three\n")
    for text in ("$ echo 0x1\n1\n", "$ false\n"):
        wrong = Block("page.md", 9, "console", text, "")
        with pytest.raises(AssertionError, match=r"page\.md:9: "):
            documented.run([wanted[0], wrong], tmp_path, tmp_path)
