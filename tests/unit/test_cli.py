"""The frame of zpp-image: help, versions, errors, and what is not imported."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest
from foreign import mkfs

from efi_image import __version__
from efi_image.cli.app import ALIASES, COMMANDS, OTHER_NAMES, cli
from efi_image.cli.main import main
from efi_image.errors import EXIT_CODES, EmulatorFailed, ExitCode

Capture = pytest.CaptureFixture[str]


HEAVY = {"cryptography", "lief", "pefile", "pyfatfs", "pyudev"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "--version",
        "--help",
        "make --help",
        "make OUT --build-dir BUILD",
        "write --force IMAGE STICK",
    ],
)
def test_heavy_libraries_are_imported_only_where_they_are_used(
    words: str, build_dir: Path, tmp_path: Path
) -> None:
    mkfs(tmp_path / "image", 1 << 20)
    (tmp_path / "stick").write_bytes(bytes(1 << 20))
    places = {"OUT": str(tmp_path / "x.img"), "BUILD": str(build_dir)}
    places |= {"IMAGE": str(tmp_path / "image"), "STICK": str(tmp_path / "stick")}
    arguments = [places.get(word, word) for word in words.split()]
    code = (
        "import sys\nfrom efi_image.cli.main import main\ncode = main(sys.argv[1:])\n"
        "print(*sys.modules, file=sys.stderr)\nsys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert HEAVY & set(result.stderr.split()) == set()
    if words == "--version":
        assert result.stdout == f"zpp-image {__version__}\n"


def test_help_documents_every_command_and_exit_code(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for code, text in EXIT_CODES.items():
        assert f"{code.value}  {text}" in out
    for name, text in COMMANDS.items():
        assert f"{name} " in out
        assert text in out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_line_of_help_is_the_commands_own(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name]


@pytest.mark.parametrize(("old", "name"), list(ALIASES.items()))
def test_old_names_work_but_are_not_shown(old: str, name: str, capsys: Capture) -> None:
    assert main([old, "--help"]) == 0
    assert (
        capsys.readouterr()
        .out.replace(f"zpp-image {old}", f"zpp-image {name}")
        .startswith(f"Usage: zpp-image {name} ")
    )
    assert main(["--help"]) == 0
    assert f"  {old} " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["frobnicate"], "zpp-image: No such command 'frobnicate'. (see zpp-image --help)"),
        (
            ["completion", "tcsh"],
            "zpp-image: Invalid value for '[bash|zsh|fish]': 'tcsh' is no"
            "t one of 'bash', 'zsh', 'fish'. (see zpp-image completion --help)",
        ),
        (["ls", ""], "zpp-image: IMAGE is empty (see zpp-image ls --help)"),
        (["make", ""], "zpp-image: OUTPUT is empty (see zpp-image make --help)"),
        (["verify", ""], "zpp-image: IMAGE is empty (see zpp-image verify --help)"),
        (["extract", "a", "--to", ""], "zpp-image: --to is empty (see zpp-image extract --help)"),
        (["cp", "a", "", "b"], "zpp-image: SOURCE... is empty (see zpp-image cp --help)"),
        (["config", "--bad"], "zpp-image: No such option '--bad'. (see zpp-image config --help)"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], line: str, capsys: Capture) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", line + "\n")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("verifx", "verify"), ("Verify", "verify"), ("inspct", "inspect"), ("extarct", "extract"),
        ("copy", "cp"), ("del", "rm"), ("remove", "rm"), ("move", "mv"), ("dir", "ls"),
        ("dd", "write"), ("flash", "write"), ("burn", "write"), ("create", "make"),
        ("info", "inspect"), ("fsck", "verify"), ("repair", "verify --fix"), ("boot", "run"),
    ],
)  # fmt: skip
def test_near_misses_name_the_command(name: str, meant: str, capsys: Capture) -> None:
    assert main([name, "x"]) == 2
    line = f"No such command '{name}'; did you mean `zpp-image {meant}`?"
    assert capsys.readouterr() == ("", f"zpp-image: {line} (see zpp-image --help)\n")


@pytest.mark.parametrize(("name", "meant"), list(OTHER_NAMES.items()))
def test_other_names_lead_to_commands(name: str, meant: str) -> None:
    command, *options = meant.split()
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    assert name not in COMMANDS
    for option in options:
        assert any(option in parameter.opts for parameter in found.params)


def test_without_arguments_help_is_shown(capsys: Capture) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_shell_completion() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "efi_image"],
        env={**os.environ, "_ZPP_IMAGE_COMPLETE": "bash_complete", "COMP_WORDS": "zpp-image ma",
             "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert result.stdout == "plain,make\n"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A command that raises what the test sets."""
    holder = types.SimpleNamespace(error=None)

    @click.command()
    def command() -> None:
        raise holder.error

    module = types.ModuleType("efi_image.cli.failing")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "failing", "Fail.")
    return holder


def test_the_line_is_the_last(failing: types.SimpleNamespace, capsys: Capture) -> None:
    failing.error = EmulatorFailed("was killed", where="bochs", details=("$ bochs -q", "panic"))
    assert main(["failing"]) == ExitCode.EMULATOR
    assert capsys.readouterr().err == "$ bochs -q\npanic\nzpp-image: bochs: was killed\n"


def test_debug_shows_a_traceback(failing: types.SimpleNamespace, capsys: Capture) -> None:
    failing.error = EmulatorFailed("was killed")
    assert main(["--debug", "failing"]) == ExitCode.EMULATOR
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_its_own_is_told_from_all_others(
    failing: types.SimpleNamespace, capsys: Capture
) -> None:
    failing.error = ZeroDivisionError("oops")
    assert main(["failing"]) == ExitCode.INTERNAL
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("zpp-image: internal error: ZeroDivisionError: oops\n")


def test_reader_that_goes_away() -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "efi_image", "config"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert result.stderr == b""
    assert result.returncode == ExitCode.OK


@pytest.mark.parametrize("arguments", [["config"], ["--version"], ["ls", "--help"]])
def test_output_without_room(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "efi_image", *arguments],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert result.returncode == ExitCode.OUTPUT
    assert result.stderr == (b"zpp-image: the output: cannot be written: No space left on device\n")


def test_output_that_is_closed() -> None:
    command = f"exec {sys.executable} -m efi_image config >&-"
    result = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


WINDOWS = """
import os, signal, sys
for module, names in ((signal, ("SIGHUP",)), (os, ("O_CLOEXEC", "O_DIRECT", "O_NOFOLLOW"))):
    for name in names:
        delattr(module, name)
sys.modules["fcntl"] = None
from efi_image.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [["--version"], ["devices", "--help"], ["config"]])
def test_starts_without_what_windows_lacks(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WINDOWS, *arguments], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.returncode == ExitCode.OK


def test_config_command(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_PASSWORD", "hunter2")
    monkeypatch.setenv("CONFIGURATION", "debug")
    assert main(["config"]) == 0
    assert main(["config", "--json"]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert "debug" in out
    assert "environment.config:" in out


def test_config_fault(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGURATION", "fast")
    assert main(["config"]) == 2
    expected = "zpp-image: environment: CONFIGURATION must be debug or release, not 'fast'\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        ("--version", 0, f"zpp-image {__version__}\n", ""),
        ("frobnicate", 2, "", "zpp-image: No such command 'frobnicate'. (see zpp-image --help)\n"),
        ("cat none /x", 3, "", "zpp-image: none: does not exist\n"),
    ],
)
def test_process_ends_with_all_said(words: str, code: int, out: str, err: str) -> None:
    """All output is flushed by then, and the exit code is the command's."""
    command = [sys.executable, "-m", "efi_image", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)
