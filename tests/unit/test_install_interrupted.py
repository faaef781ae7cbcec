"""zpp on a machine's own ESP: killed before each change of a file or variable, it still boots."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_machine import LOADER, OwnMachine, make_machine

from efi_image.cli.main import main
from efi_image.formats.zpp_conf import parse
from efi_image.verify import verify
from efi_image.verify.finding import Finding

PROGRAMS = ("ZppBoot.efi", "ZppDxe.efi")
# without ftruncate: efivarfs cuts a variable with the write that sets it
CHANGES = ("mkdir", "write", "fsync", "replace", "unlink", "rmdir")


class Killed(BaseException):
    """The process ends at once."""


class Calls:
    """Counts the changes that the process makes, and ends it before one of them.

    Nothing works after that, as for a process that is not there any more. If `torn`, the write
    at which it ends is done by half; a variable is written whole or not at all.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int = 0, *, torn: bool = False) -> None:
        self.names: list[str] = []
        self._at, self._torn, self._is_dead = at, torn, False
        self._write, self._open = os.write, os.open
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        monkeypatch.setattr(os, "open", self.open)

    def open(self, path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            self._count("open", None)
        return self._open(path, flags, *arguments, **more)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            self._count(name, arguments)
            return call(*arguments, **more)

        return counted

    def _count(self, name: str, arguments: Any) -> None:
        if self._is_dead:
            raise Killed
        self.names.append(name)
        if len(self.names) != self._at:
            return
        self._is_dead = True
        if self._torn and name == "write":
            descriptor, data = arguments
            if "efivars" not in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                self._write(descriptor, data[: len(data) // 2])
        raise Killed


def boots(own: OwnMachine, versions: dict[str, set[bytes]]) -> str:
    """What the firmware starts first; fails if it, or anything after it, would not start."""
    order = own.order()
    assert [number for number in order if number in {0, 2}] == [2, 0]
    assert (own.esp / "EFI/debian/shimx64.efi").read_bytes() == LOADER
    started = ""
    for number in order:
        option = own.option(number)
        if option is None:
            continue  # the firmware skips it
        file = str(option.devicepath[1].get_filepath())
        path = own.esp / file.strip("\\").replace("\\", "/")
        if path.name == "ZppBoot.efi":
            assert path.read_bytes() in versions["ZppBoot.efi"]
            assert (own.zpp / "ZppDxe.efi").read_bytes() in versions["ZppDxe.efi"]
            assert parse((own.zpp / "zpp.conf").read_bytes()).default == ""
        elif number == 2:
            assert path.exists()
        started = started or str(option.title)
    return started


def findings(own: OwnMachine, image: Path) -> tuple[Finding, ...]:
    """What `verify` finds on a volume with the ESP's files."""
    image.unlink(missing_ok=True)
    made = ["make", str(image), "--hypervisor", "none", "--size", "8M", "--table", "none"]
    assert main([*made, "--add", f"{own.esp}/EFI:/"]) == 0
    return verify(image).findings


def next_version(own: OwnMachine) -> None:
    for name in PROGRAMS:
        file = own.build / name
        file.write_bytes(file.read_bytes()[:-16] + b"the next version")


def count(own: OwnMachine, change: Callable[[OwnMachine], object], copy: Path) -> list[str]:
    """The changes that a whole run makes."""
    machine = own.copy(copy)
    with pytest.MonkeyPatch.context() as patched:
        calls = Calls(patched)
        change(machine)
        return calls.names


def killed(
    own: OwnMachine, change: Callable[[OwnMachine], object], folder: Path
) -> Iterator[OwnMachine]:
    """The machine after each prefix of the changes, and with each write done by half."""
    names = count(own, change, folder / "whole")
    assert len(names) > 8
    for at, name in enumerate(names, 1):
        for torn in {False, name == "write"}:
            machine = own.copy(folder / f"{at}{torn}")
            with pytest.MonkeyPatch.context() as patched:
                calls = Calls(patched, at, torn=torn)
                with pytest.raises(Killed):
                    change(machine)
                assert calls.names == names[:at]
            yield machine


def install(own: OwnMachine) -> object:
    return own.install()


def uninstall(own: OwnMachine) -> object:
    return own.uninstall()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["install", "update", "uninstall"])
def test_killed_before_each_change(case: str, tmp_path: Path, build_dir: Path) -> None:
    own = make_machine(tmp_path / "machine", build_dir)
    without = own.snapshot()
    versions = {name: {(build_dir / name).read_bytes()} for name in PROGRAMS}
    if case != "install":
        own.install()
    if case == "update":
        next_version(own)
        for name in PROGRAMS:
            versions[name].add((build_dir / name).read_bytes())
    change = uninstall if case == "uninstall" else install
    first = set()
    for number, machine in enumerate(killed(own, change, tmp_path)):
        first.add(boots(machine, versions))
        assert findings(machine, tmp_path / "esp.img") == ()
        again = machine.install if number % 2 else machine.uninstall
        again()  # both can continue from there
        if number % 2:
            assert boots(machine, versions) == "zpp"
            assert not list(machine.zpp.glob("*-new*"))
            machine.uninstall()
        assert machine.snapshot() == without
        assert not machine.zpp.exists()
    assert first == ({"zpp"} if case == "update" else {"zpp", "debian"} if case == "uninstall"
                     else {"debian"})  # fmt: skip


def test_the_order_of_an_install(tmp_path: Path, build_dir: Path) -> None:
    """A file's data is synced before its name changes, and its name before the next file."""
    own = make_machine(tmp_path / "machine", build_dir)
    names = count(own, install, tmp_path / "copy")
    replaced = ["open", "write", "fsync", "replace", "fsync"]
    variable = ["open", "write"]
    assert names == ["mkdir", "fsync", *replaced * 4, *variable * 2]
