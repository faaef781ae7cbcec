"""out/environment/: what debuggers read must be well-formed, whatever the folders are called."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath

import pytest

from efi_image.config.environment import COMMITTED, load
from efi_image.debug.scripts import SCRIPTS, generate, main, windows_path, write
from efi_image.errors import ConfigError, OutputError

ROOT = Path(__file__).resolve().parents[2]
# of the XML schema that comes with Visual Studio's debug engine for gdb
MIENGINE = "{http://schemas.microsoft.com/vstudio/MDDDebuggerOptions/2014}"
MIENGINE_ELEMENTS = ["SetupCommands", "CustomLaunchSetupCommands", "LaunchCompleteCommand"]
NAMES = [script.name for script in SCRIPTS]
FOLDER = "out/environment"
TEMPLATES = "hypervisor/debug/templates"


@pytest.fixture(params=["plain", "with blank & <'brackets>"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = tmp_path / str(request.param)
    (root / TEMPLATES).mkdir(parents=True)
    (root / COMMITTED).write_text((ROOT / COMMITTED).read_text())
    for name in NAMES:
        (root / TEMPLATES / f"{name}.in").write_text((ROOT / TEMPLATES / f"{name}.in").read_text())
    return root


def files(root: Path, distribution: str = "", **environ: str) -> dict[str, str]:
    return dict(generate(load(root, environ=environ), distribution))


def test_every_template_is_used() -> None:
    assert sorted(f"{name}.in" for name in NAMES) == sorted(
        path.name for path in (ROOT / TEMPLATES).iterdir()
    )


def test_gdbcommand_connects_to_the_configured_server(checkout: Path) -> None:
    lines = files(checkout, GDB_SERVER_ADDRESS="127.0.0.1:4321")["gdbcommand"].splitlines()
    assert f"source {checkout}/{FOLDER}/gdbinit" in lines
    assert lines[-1] == "target remote 127.0.0.1:4321"


def test_gdb_python_names_the_symbols(checkout: Path) -> None:
    text = files(checkout, CONFIGURATION="debug")["zpp_gdb.py"]
    constants = {
        node.targets[0].id: node.value.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    assert constants["LINUX"] == f"{checkout}/out/debug/x86_64/hypervisor.debug.elf"


def test_visual_studio_options_follow_the_schema(checkout: Path) -> None:
    root = ET.fromstring(files(checkout)["options.xml"])
    assert root.tag == f"{MIENGINE}LocalLaunchOptions"
    assert {"MIDebuggerPath", "TargetArchitecture", "ExePath"} <= set(root.attrib)
    assert root.attrib["MIDebuggerServerAddress"] == "localhost:1234"
    assert (root.attrib["MIMode"], root.attrib["TargetArchitecture"]) == ("gdb", "X64")
    names = [child.tag.removeprefix(MIENGINE) for child in root]
    assert names == [name for name in MIENGINE_ELEMENTS if name in names]  # a sequence
    commands = root.findall(f"{MIENGINE}SetupCommands/{MIENGINE}Command")
    assert [command.text for command in commands] == [f"source {checkout}/{FOLDER}/zpp_gdb.py"]
    assert root.findtext(f"{MIENGINE}LaunchCompleteCommand") in {
        "exec-run", "exec-continue", "None",
    }  # fmt: skip


def test_visual_studio_gets_windows_paths(checkout: Path) -> None:
    root = ET.fromstring(files(checkout, "Debian")["options.xml"])
    assert root.attrib["ExePath"].startswith("\\\\wsl.localhost\\Debian\\")
    assert root.attrib["ExePath"].endswith("\\out\\release\\x86_64\\hypervisor.debug.elf")


def test_launch_file(checkout: Path) -> None:
    launch = json.loads(files(checkout)["launch.json"])
    (only,) = launch["configurations"]
    assert only["type"] == "cppdbg"
    assert only["program"] == f"{checkout}/out/release/x86_64/hypervisor.debug.elf"
    assert only["miDebuggerServerAddress"] == "localhost:1234"
    assert only["setupCommands"][0]["text"] == f"source {checkout}/{FOLDER}/zpp_gdb.py"


def test_vmx_syntax(checkout: Path) -> None:
    text = files(checkout, GDB_SERVER_ADDRESS="[::1]:8864")["zpp.vmx"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    matches = [re.fullmatch(r'([\w.]+) = "([^"]*)"', line, re.ASCII) for line in lines]
    pairs = {match[1]: match[2] for match in matches if match}
    assert len(pairs) == len(lines)
    assert pairs["vhv.enable"] == "TRUE"
    assert pairs["debugStub.port.guest64"] == "8864"


def test_linux_load_script(checkout: Path) -> None:
    (checkout / "environment.local").write_text("SSH_PASSWORD := it's hidden\n")
    (checkout / "linux").mkdir()
    (checkout / "linux/load.sh").write_text(
        '#!/bin/sh\nprintf "%s\\n" "$ZPP_TARGET" "$ZPP_PORT" "$ZPP_MODULE" "$SSHPASS" "$@"\n'
    )
    (checkout / "linux/load.sh").chmod(0o755)
    (checkout / "efi_image").symlink_to(ROOT / "efi_image")
    texts = files(checkout, SSH_TARGET="me@[fe80::1%eth0]", SSH_PORT="2222")
    assert "hidden" not in "".join(texts.values())
    write(texts, checkout / FOLDER)
    environ = {**os.environ, "SSH_PASSWORD": "it's asked for now"}
    done = subprocess.run(
        [checkout / FOLDER / "linux_load.sh", "keep=1"],
        capture_output=True, text=True, check=True, env=environ,
    )  # fmt: skip
    module = f"{checkout}/out/release/x86_64/zpp.ko"
    expected = ["me@[fe80::1%eth0]", "2222", module, "it's asked for now", "keep=1"]
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize(
    ("path", "distribution", "expected"),
    [
        ("/mnt/c/src/zpp", "Debian", "C:\\src\\zpp"),
        ("/mnt/d", "", "D:\\"),
        ("/mnt/data/zpp", "Debian", "\\\\wsl.localhost\\Debian\\mnt\\data\\zpp"),
        ("/src/zpp", "", "/src/zpp"),
    ],
)
def test_windows_path(path: str, distribution: str, expected: str) -> None:
    assert windows_path(PurePosixPath(path), distribution) == expected


def test_a_vmx_file_holds_no_quotes(tmp_path: Path) -> None:
    root = tmp_path / 'a"b'
    (root / TEMPLATES).mkdir(parents=True)
    (root / COMMITTED).write_text("")
    for name in NAMES:
        (root / TEMPLATES / f"{name}.in").write_text("$folder\n")
    with pytest.raises(ConfigError, match="cannot be quoted in a .vmx file"):
        files(root)


def test_unchanged_files_are_not_written_again(checkout: Path) -> None:
    folder = checkout / FOLDER
    write(files(checkout), folder)
    before = {name: (folder / name).stat().st_mtime_ns for name in NAMES}
    write(files(checkout, GDB_SERVER_ADDRESS="localhost:4"), folder)
    after = {name: (folder / name).stat().st_mtime_ns for name in NAMES}
    changed = {name for name in NAMES if before[name] != after[name]}
    assert changed == {"gdbcommand", "launch.json", "options.xml", "zpp.vmx"}


def test_a_folder_that_cannot_be_made(checkout: Path) -> None:
    (checkout / "out").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(files(checkout), checkout / FOLDER)


def test_fault_of_the_configuration_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--", "GDB_SERVER_ADDRESS=nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
