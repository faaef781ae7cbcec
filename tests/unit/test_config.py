"""environment.config: one meaning in Python and make, and every fault with its place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from efi_image.config.environment import (
    COMMITTED,
    LOCAL,
    find_root,
    load,
    main,
    parse_file,
)
from efi_image.config.variables import VARIABLES, Configuration, Variable
from efi_image.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the project's own environment.config."""
    (tmp_path / COMMITTED).write_text((ROOT / COMMITTED).read_text())
    return tmp_path


def fault(folder: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, environ=environ)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_committed_file_names_every_variable_with_its_default(checkout: Path) -> None:
    settings = parse_file(checkout / COMMITTED)
    assert {name: s.value for name, s in settings.items()} == {
        name: variable.default for name, variable in VARIABLES.items()
    }


def test_every_variable_is_documented_by_a_comment() -> None:
    lines = (ROOT / COMMITTED).read_text().splitlines()
    above = ""
    for line in lines:
        if ":=" in line and not line.startswith("#"):
            assert above.startswith("#") or ":=" in above, line
        above = line


def test_local_overrides_committed_and_environment_overrides_both(checkout: Path) -> None:
    (checkout / LOCAL).write_text("CONFIGURATION := debug\nSERIAL_PORT := 0x2f8\n")
    config = load(checkout, environ={"SERIAL_PORT": "0"})
    assert config.configuration is Configuration.DEBUG
    assert config.serial_port == 0
    origins = {s.name: s.origin for s in config.settings}
    assert origins["CONFIGURATION"] == f"{LOCAL}:1"
    assert origins["SERIAL_PORT"] == "environment"
    assert origins["BUILD_DRIVERS"].startswith(f"{COMMITTED}:")


def test_overrides_are_strongest(checkout: Path) -> None:
    config = load(checkout, environ={"SSH_PORT": "23"}, overrides={"SSH_PORT": "24", "V": "1"})
    assert config.ssh_port == 24


@pytest.mark.parametrize("name", ["CONFIGURATON", "configuration", "SERIALPORT"])
def test_override_that_is_misspelt(checkout: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^command line: unknown variable {name}; did you mean"):
        load(checkout, environ={}, overrides={name: "debug"})


def test_other_variables_of_makes_command_line_are_left_alone(checkout: Path) -> None:
    words = dict.fromkeys(("ENGINE", "TESTS", "ONLY", "SUITES", "FUZZ_SECONDS", "CC"), "x")
    assert load(checkout, environ={}, overrides=words) == load(checkout, environ={})


def test_build_directory(checkout: Path) -> None:
    config = load(checkout, environ={"CONFIGURATION": "debug"})
    assert config.build_directory == checkout / "out" / "debug" / "x86_64"


def test_what_no_file_sets_has_its_default(tmp_path: Path) -> None:
    (tmp_path / COMMITTED).write_text("")
    assert load(tmp_path, environ={}).values() == {n: v.default for n, v in VARIABLES.items()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CONFIGURATION := fast", "CONFIGURATION must be debug or release, not 'fast'"),
        ("CONFIGURATION :=", "CONFIGURATION must be debug or release, not ''"),
        ("CONFIGURATON := debug", "unknown variable CONFIGURATON; did you mean CONFIGURATION?"),
        ("QQQ := 1", "unknown variable QQQ"),
        ("CONFIGURATION = debug", "expected a line `NAME := value`"),
        ("CONFIGURATION", "expected a line `NAME := value`"),
        ("\tCONFIGURATION := debug", "expected a line `NAME := value`"),
        ("export CONFIGURATION := debug", "expected a line `NAME := value`"),
        ("include other", "expected a line `NAME := value`"),
        ("CONFIGURATION := debug # x", "CONFIGURATION cannot contain '#' (make would take it"),
        ("EDK2_ROOT := $(HOME)/edk2", "EDK2_ROOT cannot contain '$' (make would expand it)"),
        ("EDK2_ROOT := /a\\", "a line cannot end with a backslash"),
        ("# comment \\", "a line cannot end with a backslash"),
        ("EDK2_ROOT := /a ", "blanks at the end of the line"),
        ("EDK2_ROOT := /a\r", "the line ends with CR"),
        ("EDK2_ROOT := /a\x01", "control character in the line"),
        ("EDK2_ROOT := edk2", "EDK2_ROOT must be an absolute path, or empty, not 'edk2'"),
        ("EDK2_ROOT := /my edk2", "EDK2_ROOT must be a path without blanks, not '/my edk2'"),
        ("TOOLCHAIN := /my tools", "TOOLCHAIN must be a path without blanks, not '/my tools'"),
        ("TOOLCHAIN :=", "TOOLCHAIN must be an absolute path, not ''"),
        ("BUILD_DRIVERS := uefi bsd", "BUILD_DRIVERS can contain linux windows uefi, not"),
        ("BUILD_DRIVERS := uefi uefi", "BUILD_DRIVERS names one twice"),
        ("BUILD_DRIVERS :=", "BUILD_DRIVERS must name at least one of linux windows uefi"),
        ("SSH_PORT := 0", "SSH_PORT must be a number from 1 to 65535, not '0'"),
        ("SSH_PORT := 65536", "SSH_PORT must be a number from 1 to 65535"),
        ("SSH_PORT := 010", "SSH_PORT must be a number from 1 to 65535"),
        ("SSH_TARGET := -oProxyCommand=x", "SSH_TARGET must be [user@]host, or empty"),
        ("SSH_TARGET := a b", "SSH_TARGET must be [user@]host, or empty"),
        ("GDB_SERVER_ADDRESS := localhost", "GDB_SERVER_ADDRESS must be HOST:PORT"),
        ("GDB_SERVER_ADDRESS := localhost:x", "GDB_SERVER_ADDRESS must be HOST:PORT"),
        ("SERIAL_PORT := 0x10000", "SERIAL_PORT must be a number from 0 to 65528"),
        ("SERIAL_PORT := com1", "SERIAL_PORT must be a number from 0 to 65528, not 'com1'"),
        ("HYPERVISOR_WAIT_FOR_DEBUGGER := yes", "must be 0 or 1, not 'yes'"),
        ("WINDOWS_KITS_VERSION := ten", "WINDOWS_KITS_VERSION must be a version number"),
        ("SELECTED_ARCHITECTURE := aarch64", "SELECTED_ARCHITECTURE must be x86_64"),
    ],
)
def test_fault_is_one_line_with_its_place(checkout: Path, line: str, expected: str) -> None:
    (checkout / LOCAL).write_bytes(f"# mine\n\n{line}\n".encode())
    message = fault(checkout)
    assert message.startswith(f"{LOCAL}:3: ")
    assert expected in message
    assert message.isprintable()


def test_variable_set_twice(checkout: Path) -> None:
    (checkout / LOCAL).write_text("SSH_PORT := 22\nSSH_PORT := 22\n")
    assert fault(checkout) == f"{LOCAL}:2: SSH_PORT is already set in {LOCAL}:1"


def test_fault_of_the_environment(checkout: Path) -> None:
    expected = "environment: CONFIGURATION must be debug or release, not 'fast'"
    assert fault(checkout, CONFIGURATION="fast") == expected
    assert "cannot begin or end with a blank" in fault(checkout, EDK2_ROOT=" /x")
    assert "control character" in fault(checkout, VISUAL_STUDIO_ROOT="a\nb")


def test_file_that_is_no_text(checkout: Path) -> None:
    (checkout / LOCAL).write_bytes(b"SSH_TARGET := \xff\n")
    assert fault(checkout) == f"{LOCAL}: is not UTF-8 text"


def test_file_that_cannot_be_read(checkout: Path) -> None:
    (checkout / LOCAL).mkdir()
    assert fault(checkout) == f"{LOCAL}: cannot be read: Is a directory"


def test_password_is_refused_in_the_committed_file_and_never_shown(checkout: Path) -> None:
    (checkout / COMMITTED).write_text("SSH_PASSWORD := hunter2\n")
    message = fault(checkout)
    assert LOCAL in message
    (checkout / COMMITTED).write_text("SSH_PASSWORD = hunter2\n")
    message += fault(checkout)
    assert "hunter2" not in message
    (checkout / COMMITTED).write_text("")
    (checkout / LOCAL).write_text("SSH_PASSWORD := hunter2\n")
    config = load(checkout, environ={})
    assert config.ssh_password == "hunter2"
    assert "hunter2" not in repr(config)


def test_selected_must_be_supported(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one architecture the lists cannot differ yet, so a second one is made up."""
    any_words = Variable("SUPPORTED_ARCHITECTURES", "x86_64", lambda _value: "")
    monkeypatch.setitem(VARIABLES, any_words.name, any_words)
    message = fault(checkout, SUPPORTED_ARCHITECTURES="aarch64")
    assert message.startswith(f"{COMMITTED}:")
    assert "SELECTED_ARCHITECTURE must be one of SUPPORTED_ARCHITECTURES (aarch64)" in message


def test_root_is_the_checkout_of_the_package() -> None:
    assert find_root() == ROOT


# ---- python3 -m efi_image.config.environment


def module(*arguments: str, folder: Path = ROOT, **environ: str) -> tuple[int, str, str]:
    """Run as make does: isolated from site-packages, so with the standard library alone."""
    kept = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    result = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-m", "efi_image.config.environment", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**kept, **environ},
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def test_module_runs_with_the_standard_library_alone() -> None:
    code, out, _ = module("--json")
    assert code == 0
    assert set(json.loads(out)) == set(VARIABLES)


def test_module_fault() -> None:
    code, out, err = module("--check", CONFIGURATION="fast")
    assert (code, out) == (2, "")
    assert err == "environment: CONFIGURATION must be debug or release, not 'fast'\n"


def test_make_reads_the_same_values(tmp_path: Path) -> None:
    """make itself is the oracle: it includes the output and prints what it understood."""
    code, out, _ = module(
        "--make", "SSH_TARGET=me@host", "V=1", VISUAL_STUDIO_ROOT=r"C:\Program Files (x86)\VS"
    )
    assert code == 0
    prints = "".join(f"$(info {name}=$({name}))\n" for name in VARIABLES)
    (tmp_path / "Makefile").write_text(f"{out}\n{prints}all:;@:\n")
    kept = {k: v for k, v in os.environ.items() if k not in VARIABLES and k != "MAKEFLAGS"}
    made = subprocess.run(
        ["make", "-s", "-C", str(tmp_path)], capture_output=True, text=True, check=True, env=kept
    )
    shown = dict(
        line.split("=", 1) for line in made.stdout.splitlines() if re.match(r"[A-Z0-9_]+=", line)
    )
    config = load(
        environ={"VISUAL_STUDIO_ROOT": r"C:\Program Files (x86)\VS"},
        overrides={"SSH_TARGET": "me@host"},
    )
    assert shown == config.values()
    assert shown["SSH_TARGET"] == "me@host"


def test_make_reads_the_committed_file_itself_the_same(tmp_path: Path) -> None:
    prints = "".join(f"$(info {name}=$({name}))\n" for name in VARIABLES)
    (tmp_path / "Makefile").write_text(f"include {ROOT / COMMITTED}\n{prints}all:;@:\n")
    kept = {k: v for k, v in os.environ.items() if k not in VARIABLES and k != "MAKEFLAGS"}
    made = subprocess.run(
        ["make", "-s", "-C", str(tmp_path)], capture_output=True, text=True, check=True, env=kept
    )
    shown = dict(
        line.split("=", 1) for line in made.stdout.splitlines() if re.match(r"[A-Z0-9_]+=", line)
    )
    assert shown == {name: s.value for name, s in parse_file(ROOT / COMMITTED).items()}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--get", "SELECTED_ARCHITECTURE"], "x86_64\n"),
        (["--get", "SSH_PORT", "SSH_PORT=2222"], "2222\n"),
        (["--check"], ""),
    ],
)
def test_forms(
    arguments: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert main(arguments) == 0
    assert capsys.readouterr().out == expected
