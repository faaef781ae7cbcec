"""Every command with closed or limited outputs, and its errors for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from terminal import Session
from test_help import COMMANDS_BY_NAME
from trees import tree_of

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.cli.main import main
from efi_image.errors import ExitCode

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
NAME = "naïve-файл-文.txt"
CODE = "import sys\nfrom efi_image.cli.main import main\nsys.exit(main())"

# commands that read IMAGE and print more than a pipe takes, or a little
READERS = (
    "ls IMAGE -r", "ls IMAGE --tree", "ls IMAGE -r --json", "inspect IMAGE", "inspect IMAGE --json",
    "verify IMAGE", "verify IMAGE --json", "diff IMAGE OTHER", "diff IMAGE OTHER --json",
    "cat IMAGE /big", "devices", "config", "completion bash", "--help", "run --help",
)  # fmt: skip
WRITERS = ("make - --hypervisor none --add FILE:/", "make NEW --hypervisor none --add FILE:/")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files that the words in capitals stand for."""
    folder = tmp_path_factory.mktemp("manners")
    for name, files in (
        ("image.img", {NAME: b"x", "big": bytes(range(256)) * 4096}),
        ("other.img", {f"{n} {NAME}": b"y" for n in range(400)}),
    ):
        make_image(ResolvedOptions(folder / name, size=40 * MIB), tree_of(files))
    (folder / "file").write_bytes(os.urandom(MIB))
    return {
        "IMAGE": str(folder / "image.img"),
        "OTHER": str(folder / "other.img"),
        "FILE": str(folder / "file"),
        "NEW": str(folder / "new.img"),
        "NOTHING": str(folder / "nothing"),
    }


def command(line: str, places: dict[str, str]) -> list[str]:
    words = [places.get(word.split(":")[0], word.split(":")[0]) + word[len(word.split(":")[0]) :]
             for word in line.split()]  # fmt: skip
    return [sys.executable, "-c", CODE, *words]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def shell(script: str, line: list[str], **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", script, "bash", *line],
        capture_output=True, check=False, timeout=60, env=environment(**more),
    )  # fmt: skip


@pytest.mark.parametrize("line", [*READERS, *WRITERS])
@pytest.mark.parametrize(
    "script",
    [
        '"$@" | head -c1; exit ${PIPESTATUS[0]}',
        '"$@" >&-',
        '"$@" >&- 2>&-',
        '"$@" <&- >&- 2>&-',
        '"$@" >/dev/full',
    ],
)
def test_outputs_that_end(script: str, line: str, places: dict[str, str]) -> None:
    done = shell(script, command(line, places))
    assert b"Traceback" not in done.stderr
    allowed = {ExitCode.OK, ExitCode.VERDICT, ExitCode.OUTPUT}
    if "head" in script:
        allowed = {ExitCode.OK, ExitCode.VERDICT, ExitCode.READER_GONE}
        assert done.stderr in (b"",) or not line.startswith(("ls", "make -", "diff", "cat"))
    assert done.returncode in allowed
    if "full" in script and "NEW" not in line:
        assert done.returncode == ExitCode.OUTPUT


def test_an_image_never_goes_to_a_file_in_the_place_of_standard_output(
    tmp_path: Path, places: dict[str, str]
) -> None:
    line = command(f"make - --hypervisor none --add FILE:/ --bmap {tmp_path}/x.bmap", places)
    done = shell('"$@" >&-', line)
    assert done.returncode == ExitCode.OUTPUT
    assert b"standard output: is closed" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", READERS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_poor_encodings(line: str, encoding: str, places: dict[str, str]) -> None:
    done = shell('"$@"', command(line, places), PYTHONIOENCODING=encoding, LC_ALL="C")
    assert done.returncode in {ExitCode.OK, ExitCode.VERDICT}, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("more", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours(more: dict[str, str], is_coloured: bool, places: dict[str, str]) -> None:
    broken = Path(places["NEW"]).with_name("broken.img")
    broken.write_bytes(bytes(MIB))
    line = command(f"verify {broken}", places)
    session = Session(line, environment(**{"TERM": "xterm", **more}))
    try:
        assert session.end() == ExitCode.VERDICT
        assert (b"\x1b[" in session.seen) is is_coloured
    finally:
        session.close()
    assert b"\x1b" not in shell('"$@"', line, TERM="xterm").stdout


# ---- errors for programs

# a command line that fails, for every command that has --json
ERRORS = {
    "make": ("make NEW --kernel NOTHING --json", ExitCode.INPUT, "InputError"),
    "verify": ("verify NOTHING --json", ExitCode.INPUT, "InputError"),
    "ls": ("ls IMAGE /none --json", ExitCode.INPUT, "InputError"),
    "extract": ("extract IMAGE /none --json", ExitCode.INPUT, "InputError"),
    "cp": ("cp NOTHING IMAGE:/x --json", ExitCode.INPUT, "InputError"),
    "rm": ("rm IMAGE /none --json", ExitCode.INPUT, "InputError"),
    "mkdir": ("mkdir IMAGE /none/x --json", ExitCode.INPUT, "InputError"),
    "mv": ("mv IMAGE /none /x --json", ExitCode.INPUT, "InputError"),
    "inspect": ("inspect NOTHING --json", ExitCode.INPUT, "InputError"),
    "diff": ("diff IMAGE NOTHING --json", ExitCode.INPUT, "InputError"),
    "run": ("run NOTHING --json", ExitCode.INPUT, "InputError"),
    "trace": ("trace NOTHING --json", ExitCode.INPUT, "InputError"),
    "doctor": ("doctor NOTHING --json", ExitCode.INPUT, "InputError"),
    "status": ("status NOTHING --json", ExitCode.INPUT, "InputError"),
    "counters": ("counters NOTHING --json", ExitCode.INPUT, "InputError"),
    "devices": ("devices --size x --json", ExitCode.USAGE, "UsageError"),
    "write": ("write NOTHING NEW --json", ExitCode.INPUT, "InputError"),
    "install": ("install --esp NOTHING --json", ExitCode.INPUT, "InputError"),
    "uninstall": ("uninstall --esp NOTHING --json", ExitCode.INPUT, "InputError"),
    "bochs check": ("bochs check --bochs-root NOTHING --json", ExitCode.MISSING, "EmulatorMissing"),
    "config": ("config --manifest NOTHING --json", ExitCode.INPUT, "InputError"),
}


# they print data that is not theirs, or nothing but their success
WITHOUT_JSON = {
    "cat",
    "log",
    "symbolize",
    "completion",
    "booted",
    "bochs install",
    "bochs remove",
}


def test_every_command_with_json_has_its_error() -> None:
    able = {
        name
        for name, each in COMMANDS_BY_NAME.items()
        if any("--json" in parameter.opts for parameter in each.params)
    }
    assert able == set(ERRORS)
    others = {name for name, each in COMMANDS_BY_NAME.items() if not isinstance(each, click.Group)}
    assert others - able == WITHOUT_JSON


@pytest.mark.parametrize("name", list(ERRORS))
def test_errors_as_json(
    name: str, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line, code, kind = ERRORS[name]
    assert main(command(line, places)[3:]) == code
    told = capsys.readouterr()
    document = json.loads(told.out)
    error = document["error"]
    assert document["version"] == 1
    assert (error["kind"], error["exit_code"]) == (kind, code)
    assert told.err.startswith(f"zpp-image: {error['message']}\n")


@pytest.mark.parametrize(
    ("line", "code", "kind"),
    [
        ("ls --json", ExitCode.USAGE, "MissingParameter"),
        ("ls IMAGE --no-such-option --json", ExitCode.USAGE, "NoSuchOption"),
    ],
)
def test_wrong_usage_as_json(
    line: str, code: int, kind: str, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(line, places)[3:]) == code
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == kind


def test_an_error_of_an_image_on_standard_output(places: dict[str, str]) -> None:
    done = shell('"$@"', command("make - --kernel NOTHING --json", places))
    assert done.stdout == b""
    assert json.loads(done.stderr[done.stderr.index(b"{") :])["error"]["kind"] == "InputError"


# ---- binary data on a terminal


@pytest.mark.parametrize(
    ("path", "answer", "code", "shown"),
    [("/big", b"n\r", 4, False), ("/big", b"y\r", 0, True), (f"/{NAME}", None, 0, True)],
)
def test_cat_asks_before_it_shows_binary_data(
    path: str, answer: bytes | None, code: int, shown: bool, places: dict[str, str]
) -> None:
    session = Session([*command("cat IMAGE", places), path], environment(TERM="xterm"))
    try:
        if answer:
            session.wait_for(b"is not text. Show it on the terminal? [y/N]: ")
            session.type(answer)
        assert session.end() == code
        assert (b"\x00\x01\x02" in session.seen or session.seen[-1:] == b"x") is shown
    finally:
        session.close()
