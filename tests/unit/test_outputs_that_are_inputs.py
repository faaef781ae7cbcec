"""No command writes to a file that it reads; all that write files are in a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from makepe import make_pe
from trees import tree_of

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.cli.main import main
from efi_image.errors import ExitCode

Capture = pytest.CaptureFixture[str]
MIB = 1 << 20

# IN is the file that is read, and OUT is the same file under another name
ROWS = (
    ("make OUT --hypervisor none --boot IN", "program.efi"),
    ("make OUT --hypervisor none --add IN:/x", "program.efi"),
    ("make NEW --hypervisor none --add IN:/x --bmap OUT", "program.efi"),
    ("write IN OUT --force", "image.img"),
    ("verify --fix IN --output OUT", "image.img"),
    ("run IN --log OUT", "image.img"),
    ("run IN --screenshot OUT.png", "image.img"),
    ("run IN --trace OUT", "image.img"),
    ("cp -f IN:/image.img OUT", "image.img"),
    ("cp -f IN:/image.img FOLDER", "image.img"),
    ("cp -rf IN:/ FOLDER", "image.img"),
    ("extract -f IN --to FOLDER", "image.img"),
    ("inspect IN --svg OUT", "image.img"),
    ("trace IN --html OUT", "text"),
    ("trace IN --svg OUT", "text"),
    ("trace IN --perfetto OUT", "text"),
    ("trace NEW --symbols IN --html OUT", "text"),
    ("doctor IN --save OUT", "text"),
)  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files to read; the image has a file of its own name."""
    folder = tmp_path_factory.mktemp("originals")
    (folder / "program.efi").write_bytes(make_pe())
    (folder / "text").write_text("some text")
    files = {"image.img": b"not an image"}
    make_image(ResolvedOptions(folder / "image.img", size=40 * MIB), tree_of(files))
    return folder


@pytest.mark.parametrize(("line", "name"), ROWS, ids=[line for line, _ in ROWS])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_an_output_that_is_an_input(
    originals: Path, tmp_path: Path, capsys: Capture, line: str, name: str, link: object
) -> None:
    given, other = tmp_path / name, tmp_path / "other"
    shutil.copy(originals / name, given)
    before = given.read_bytes()
    for path in (other, tmp_path / "other.png"):
        link(path, given)  # type: ignore[operator]
    places = {"FOLDER": tmp_path, "NEW": tmp_path / "new", "OUT": other, "IN": given}
    words = line.split()
    for short, path in places.items():
        words = [word.replace(short, str(path)) for word in words]
    assert main(words) in (ExitCode.USAGE, ExitCode.INPUT)
    said = capsys.readouterr().err
    assert any(text in said for text in ("is also an input", "same file", "is the image itself"))
    assert given.read_bytes() == before
    assert not (tmp_path / "new").exists()
