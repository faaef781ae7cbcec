"""docs/reference/schemas describes what `--json` prints. The oracle is the library jsonschema."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import client_files
import pytest
import vm_traces
from fake_emulator import FakeEmulator
from jsonschema import Draft202012Validator
from layouts import load
from own_machine import make_machine
from referencing import Registry, Resource
from test_help import COMMANDS_BY_NAME
from test_manners import ERRORS

from efi_image.cli import run
from efi_image.cli.main import main
from efi_image.devices.linux import LinuxDisks
from efi_image.emulator import ExitReason
from efi_image.emulator.bochs_install import LAYOUT, BochsInstall, BochsVersion

SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas"
MACHINES = Path(__file__).parents[2] / "tests/host/machines"

# (schema, command line); words in capitals are files. A new command joins in one line.
OUTPUTS = [
    ("make", "make NEW --build-dir BUILD --digest --partition FILE:linux:root --bmap BMAP"),
    ("make-show", "make NEW --build-dir BUILD --add FILE:/ --partition FILE:linux --show"),
    ("verify", "verify IMAGE"),
    ("verify", "verify BROKEN"),
    ("verify", "verify --fix BROKEN"),
    ("verify", "verify IMAGE OTHER"),
    ("ls", "ls IMAGE -r"),
    ("ls", "ls IMAGE /EFI/zpp/zpp.conf"),
    ("extract", "extract IMAGE --to FOLDER --force"),
    ("cp", "cp FILE IMAGE:/copy"),
    ("cp", "cp IMAGE:/EFI/zpp/zpp.conf NEW"),
    ("rm", "rm IMAGE /EFI/zpp/zpp.conf /none --force"),
    ("mkdir", "mkdir -p IMAGE /EFI/Linux"),
    ("mv", "mv IMAGE /EFI/zpp/zpp.conf /zpp.conf"),
    ("inspect", "inspect IMAGE"),
    ("inspect", "inspect FILE"),
    ("inspect-pe", "inspect PROGRAM"),
    ("diff", "diff IMAGE OTHER"),
    ("diff", "diff IMAGE IMAGE"),
    ("run", "run IMAGE"),
    ("run", "run IMAGE --expect never --log LOG"),
    ("trace", "trace TRACE"),
    ("doctor", "doctor MACHINE"),
    ("doctor", "doctor REFUSED"),
    ("status", "status CLIENT"),
    ("counters", "counters CLIENT"),
    ("devices", "devices --all"),
    ("write", "write IMAGE TARGET --force"),
    ("install", "install --esp ESP --build-dir BUILD"),
    ("uninstall", "uninstall --esp ESP"),
    ("bochs-check", "bochs check --quick"),
    ("config", "config"),
    ("config", "config --show"),
    *(("error", line.removesuffix(" --json")) for line, _, _ in ERRORS.values()),
]  # fmt: skip


@functools.cache
def validator(name: str) -> Draft202012Validator:
    found = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    resources = [(key, Resource.from_contents(value)) for key, value in found.items()]
    registry: Any = Registry().with_resources(resources)
    schema = found[f"{name}.json"]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, registry=registry)


@pytest.fixture
def places(
    tmp_path: Path,
    build_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[str, str]:
    """The files for the words, and machines that are always the same."""
    version = BochsVersion(LAYOUT, "forky", {"bochs": "3.1"}, "")
    installed = BochsInstall(tmp_path / "root", version)
    monkeypatch.setattr("efi_image.emulator.bochs_install.find", lambda _root: installed)
    monkeypatch.setattr("efi_image.emulator.bochs_install.check_library", lambda _install: None)
    monkeypatch.setattr(run, "choose", lambda *_: FakeEmulator((b"zpp: hello\n",)))
    disks = LinuxDisks(load("twins", tmp_path).system)
    monkeypatch.setattr("efi_image.cli.devices.disks", lambda: disks)
    own = make_machine(tmp_path / "own", build_dir)
    for name in ("installer", "uninstaller"):
        monkeypatch.setattr(f"efi_image.install.{name}.Machine", lambda: own.machine)
    (tmp_path / "file").write_bytes(b"a file" * 1000)
    for name in ("image", "other"):
        extra = ["--label", name, "--cmdline", name, "--kernel", str(build_dir / "ZppBoot.efi")]
        assert main(["make", str(tmp_path / name), "--build-dir", str(build_dir), *extra]) == 0
    data = bytearray((tmp_path / "image").read_bytes())
    data[528:532] = bytes(4)  # the header's CRC
    (tmp_path / "broken").write_bytes(data)
    capsys.readouterr()
    names = (
        "new",
        "image",
        "other",
        "broken",
        "file",
        "folder",
        "log",
        "target",
        "bmap",
        "nothing",
    )
    found = {name.upper(): str(tmp_path / name) for name in names}
    found["ESP"] = str(own.esp)
    found["MACHINE"] = str(MACHINES / "alder-lake.json")
    found["REFUSED"] = str(MACHINES / "vtx-locked-off.json")
    client_files.write(tmp_path / "client")
    found["CLIENT"] = str(tmp_path / "client")
    found["TRACE"] = str(vm_traces.write(tmp_path / "boot.trace"))
    return {**found, "BUILD": str(build_dir), "PROGRAM": str(build_dir / "ZppBoot.efi")}


@pytest.mark.parametrize(("name", "line"), OUTPUTS)
def test_outputs_are_as_their_schema_says(
    name: str, line: str, places: dict[str, str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if name == "error":
        monkeypatch.undo()
    words = [places.get(word.partition(":")[0], word.partition(":")[0]) + "".join(
        word.partition(":")[1:]) for word in line.split()]  # fmt: skip
    main([*words, "--json"])
    document = json.loads(capsys.readouterr().out)
    if line.startswith("run IMAGE"):
        document["emulator"] = "qemu"
    errors = [error.message for error in validator(name).iter_errors(document)]
    assert errors == []
    assert (name == "error") is ("error" in document)


def test_every_command_with_json_has_a_schema() -> None:
    described = {path.stem for path in SCHEMAS.glob("*.json")}
    assert {name.replace(" ", "-") for name in ERRORS} <= described
    assert described == {name for name, _ in OUTPUTS} | {"devices-watch", "machine"}
    assert set(ERRORS) <= set(COMMANDS_BY_NAME)
    page = (SCHEMAS.parent / "json.md").read_text()
    assert set(re.findall(r"\(schemas/(.*)\.json\)", page)) == described


def test_every_result_of_a_run_is_in_the_schema() -> None:
    results = json.loads((SCHEMAS / "run.json").read_text())["properties"]["result"]["enum"]
    assert set(results) == {reason.name.lower().replace("_", "-") for reason in ExitReason}
