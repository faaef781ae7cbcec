"""Installing Bochs, with an mmdebstrap and a Bochs that are shell scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from efi_image.cli.bochs import command
from efi_image.cli.main import main
from efi_image.emulator import bochs_install, bochs_parts
from efi_image.emulator.debian import apt, mmdebstrap
from efi_image.errors import (
    EmulatorFailed,
    EmulatorMissing,
    ExitCode,
    MissingError,
    OutputError,
    UsageError,
)

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

# Makes a root whose dynamic linker plays Bochs: it says what the library would say.
UNPACK = r"""
echo "$@" >>"$ZPP_TEST/calls"
while [ $# -gt 2 ]; do shift; done
root=$1
mkdir -p "$root/usr/lib64" "$root/usr/bin" "$root/usr/lib/x86_64-linux-gnu/bochs/plugins" \
    "$root/usr/share/ovmf" "$root/usr/share/bochs" "$root/var/cache" "$root/usr/share/locale/de"
for name in acpi gameport sounddummy soundpulse wx_gui eth_null eth_vde; do
    touch "$root/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_$name.so"
done
touch "$root/usr/bin/bochs-bin" "$root/usr/share/ovmf/OVMF.fd" \
    "$root/usr/share/bochs/VGABIOS-lgpl-latest"
touch "$root/usr/bin/qemu-system-x86_64"
for package in bochs ovmf qemu-system-x86; do
    mkdir -p "$root/usr/share/doc/$package"
    echo "$package (3.1+dfsg-1) unstable; urgency=medium" |
        gzip >"$root/usr/share/doc/$package/changelog.Debian.gz"
done
cat >"$root/usr/lib64/ld-linux-x86-64.so.2" <<'EOF'
#!/bin/sh
[ -e "$ZPP_TEST/unfixed" ] && exit 0
[ "$ZPP_BOCHS_FIX_TEST" = 1 ] || exit 1
echo 'bochs_fix: 64-bit IDIV and broadcast SIPI fixed' >&2
echo 'bochs_fix: tested' >&2
EOF
chmod +x "$root/usr/lib64/ld-linux-x86-64.so.2"
"""


class Machine:
    """A machine with an mmdebstrap of the test's making."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        self.root = base / "cache" / "bochs"
        self.programs = base / "programs"
        self.programs.mkdir()
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
        monkeypatch.setenv("ZPP_TEST", str(base))
        monkeypatch.setattr(apt, "debian_mirror", lambda: "http://mirror.test/debian")
        monkeypatch.setattr(apt, "network_options", lambda: ['Acquire::http::Proxy "http://p";'])
        self.mmdebstrap(UNPACK)

    def mmdebstrap(self, script: str) -> None:
        program = self.programs / "mmdebstrap"
        program.write_text(f"#!/bin/sh\nset -e\n{script}\n")
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self.base / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def names(self) -> list[str]:
        """What is beside the root."""
        return sorted(path.name for path in self.root.parent.iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_install(machine: Machine) -> None:
    installed = bochs_install.install(machine.root)
    assert machine.names == [".bochs.lock", "bochs"]
    assert installed == bochs_install.find(machine.root)
    packages = ("bochs", "ovmf", "qemu-system-x86")
    assert installed.version.packages == dict.fromkeys(packages, "3.1+dfsg-1")
    (call,) = machine.calls
    assert "deb http://mirror.test/debian forky main" in call
    assert '--aptopt=Acquire::http::Proxy "http://p";' in call
    assert not (machine.root / "var").exists()
    assert not (machine.root / "usr/share/locale").exists()
    plugins = sorted((machine.root / "zpp/plugins").iterdir())
    assert [p.name for p in plugins] == [
        "libbx_acpi.so", "libbx_eth_null.so", "libbx_gameport.so", "libbx_sounddummy.so",
    ]  # fmt: skip
    assert all(plugin.exists() for plugin in plugins)


def test_own_parts_are_built(machine: Machine) -> None:
    bochs_install.install(machine.root)
    library = (machine.root / "zpp/bochs_fix.so").read_bytes()
    assert library.startswith(b"\x7fELF")
    program = (machine.root / "zpp/divide.efi").read_bytes()
    assert program.startswith(b"MZ")
    assert program[0x40:0x46] == b"PE\0\0\x64\x86"
    assert len(program) % 512 == 0


def test_install_again_does_nothing(machine: Machine) -> None:
    bochs_install.install(machine.root)
    lines: list[str] = []
    bochs_install.install(machine.root, progress=lines.append)
    assert lines == [
        "already installed: bochs 3.1+dfsg-1, ovmf 3.1+dfsg-1, qemu-system-x86 3.1+dfsg-1"
    ]
    assert len(machine.calls) == 1
    bochs_install.install(machine.root, force=True, mirror="http://other.test/debian")
    assert "deb http://other.test/debian forky main" in machine.calls[1]


def test_root_without_qemu_is_made_again(machine: Machine) -> None:
    installed = bochs_install.install(machine.root)
    assert installed.qemu[0] == str(machine.root / "usr/lib64/ld-linux-x86-64.so.2")
    assert installed.qemu[3] == str(machine.root / "usr/bin/qemu-system-x86_64")
    marker = machine.root / bochs_install.MARKER
    document = json.loads(marker.read_text())
    del document["packages"]["qemu-system-x86"]
    marker.write_text(json.dumps(document))
    (machine.root / "usr/bin/qemu-system-x86_64").unlink()
    old = bochs_install.find(machine.root)  # Bochs itself still works
    with pytest.raises(EmulatorMissing, match="qemu-system-x86_64 is missing"):
        _ = old.qemu
    assert bochs_install.install(machine.root).version == installed.version
    assert len(machine.calls) == 2


def test_changed_library_is_built_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    bochs_install.install(machine.root)
    sources = machine.base / "sources"
    shutil.copytree(bochs_parts.data_file("bochsrc").parent, sources)
    with (sources / "bochs_fix.c").open("a") as file:
        file.write("int zpp_is_new;\n")
    monkeypatch.setattr(bochs_parts, "data_file", lambda name: sources / name)
    renewed = bochs_install.install(machine.root)
    assert len(machine.calls) == 1
    assert b"zpp_is_new" in (machine.root / "zpp/bochs_fix.so").read_bytes()
    assert renewed == bochs_install.find(machine.root)
    assert machine.names == [".bochs.lock", "bochs"]


def test_incomplete_root_is_made_again(machine: Machine) -> None:
    bochs_install.install(machine.root)
    (machine.root / "usr/bin/bochs-bin").unlink()
    with pytest.raises(EmulatorMissing, match=r"usr/bin/bochs-bin is missing.*bochs install"):
        bochs_install.find(machine.root)
    bochs_install.install(machine.root)
    bochs_install.find(machine.root)
    assert len(machine.calls) == 2


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layout": 0}'])
def test_marker_of_another_version(machine: Machine, text: str) -> None:
    bochs_install.install(machine.root)
    (machine.root / bochs_install.MARKER).write_text(text)
    with pytest.raises(EmulatorMissing, match="bochs install"):
        bochs_install.find(machine.root)
    bochs_install.install(machine.root)
    bochs_install.find(machine.root)


def test_unfixed_bochs_is_refused(machine: Machine) -> None:
    (machine.base / "unfixed").touch()
    with pytest.raises(EmulatorFailed, match="has no effect"):
        bochs_install.install(machine.root)
    assert machine.names == [".bochs.lock"]


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        ("E: Release file for x is expired (invalid since 19d).", MissingError, "have expired"),
        ("tar: ./x: No space left on device", OutputError, "the disk is full"),
        ("something else", MissingError, "failed with exit status 25"),
    ],
)
def test_failed_unpacking(
    machine: Machine, output: str, error: type[Exception], message: str
) -> None:
    machine.mmdebstrap(f'mkdir -p "{machine.base}/x"; echo "{output}" >&2; exit 25')
    with pytest.raises(error, match=message) as raised:
        bochs_install.install(machine.root)
    assert output in raised.value.details  # type: ignore[attr-defined]
    assert machine.names == [".bochs.lock"]


NO_NETWORK = """\
I: running apt-get update...
Err:1 http://mirror.test/debian forky InRelease
  {reason}
E: Failed to fetch http://mirror.test/debian/dists/forky/InRelease  {reason}
E: Some index files failed to download. They have been ignored, or old ones used instead.
E: mmdebstrap failed to run
"""


@pytest.mark.parametrize(
    "reason",
    [
        "Temporary failure resolving 'mirror.test'",
        "Unable to connect to mirror.test:http:",
        "Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
    ],
)
def test_without_a_network(
    machine: Machine, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    """One line, and nothing is left."""
    (machine.base / "said").write_text(NO_NETWORK.format(reason=reason))
    machine.mmdebstrap(f'cat "{machine.base}/said" >&2; exit 25')
    code = main(["bochs", "install", "--bochs-root", str(machine.root)])
    assert code == ExitCode.MISSING
    assert capsys.readouterr().err == (
        f"zpp-image: Debian's mirror cannot be reached ({reason}); check the network and its "
        "proxy, or give another mirror with --mirror URI\n"
    )
    assert machine.names == [".bochs.lock"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="needs mmdebstrap")
def test_mmdebstrap_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real apt says what the messages above say; nothing listens at port 9."""
    monkeypatch.setattr(apt, "network_options", list)
    where = ["--bochs-root", str(tmp_path / "root"), "--mirror", "http://localhost:9/"]
    assert main(["bochs", "install", *where]) == ExitCode.MISSING
    (line,) = capsys.readouterr().err.splitlines()
    assert "Debian's mirror cannot be reached (Could not connect to localhost:9" in line


def test_failed_renewal_keeps_the_old_root(machine: Machine) -> None:
    bochs_install.install(machine.root)
    machine.mmdebstrap("exit 1")
    with pytest.raises(MissingError):
        bochs_install.install(machine.root, force=True)
    bochs_install.find(machine.root)


def test_no_mmdebstrap(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.base))
    with pytest.raises(MissingError, match="mmdebstrap is not installed"):
        bochs_install.install(machine.root)


def test_no_compiler(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sh", "mkdir", "touch", "cat", "chmod", "gzip"):
        (machine.programs / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(machine.programs))
    with pytest.raises(MissingError, match="no C compiler"):
        bochs_install.install(machine.root)


def test_too_little_space(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmdebstrap, "_SPACE", 1 << 60)
    with pytest.raises(OutputError, match="MiB are free"):
        bochs_install.install(machine.root)
    assert machine.calls == []


def test_place_that_cannot_be_written(machine: Machine) -> None:
    machine.root.parent.write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        bochs_install.install(machine.root)


def test_partial_roots_of_killed_installations_go(machine: Machine) -> None:
    stale = machine.root.with_name(".bochs.partial-x")
    (stale / "root").mkdir(parents=True)
    bochs_install.install(machine.root)
    assert not stale.exists()


def test_foreign_folders_are_left_alone(machine: Machine) -> None:
    machine.root.mkdir(parents=True)
    (machine.root / "thesis.txt").touch()
    for action in (bochs_install.install, bochs_install.remove):
        with pytest.raises(UsageError, match="zpp-image did not make it"):
            action(machine.root)
    assert (machine.root / "thesis.txt").exists()


def test_links_and_files_are_refused(machine: Machine) -> None:
    bochs_install.install(machine.root)
    link = machine.base / "link"
    link.symlink_to(machine.root)
    with pytest.raises(UsageError, match="symbolic link"):
        bochs_install.remove(link)
    file = machine.base / "file"
    file.touch()
    with pytest.raises(UsageError, match="not a directory"):
        bochs_install.install(file)
    bochs_install.find(machine.root)


def test_remove(machine: Machine) -> None:
    bochs_install.install(machine.root)
    assert bochs_install.remove(machine.root)
    assert machine.names == [".bochs.lock"]
    assert not bochs_install.remove(machine.root)


def test_removing_nothing_makes_nothing(tmp_path: Path) -> None:
    assert not bochs_install.remove(tmp_path / "no" / "bochs")
    assert not (tmp_path / "no").exists()


def test_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOCHS_ROOT", "/somewhere/bochs")
    assert bochs_install.default_root() == Path("/somewhere/bochs")
    monkeypatch.setenv("BOCHS_ROOT", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert bochs_install.default_root() == Path("/cache/zpp/bochs")
    monkeypatch.setenv("XDG_CACHE_HOME", "not-absolute")
    assert bochs_install.default_root() == Path.home() / ".cache/zpp/bochs"


def test_commands(machine: Machine) -> None:
    runner = CliRunner()
    root = ["--bochs-root", str(machine.root)]
    assert runner.invoke(command, ["install", *root]).output.endswith(
        f"is installed in {machine.root}\n"
    )
    checked = runner.invoke(command, ["check", "--quick", *root])
    assert "the library works" in checked.output
    assert "removed" in runner.invoke(command, ["remove", *root]).output
    assert "not installed" in runner.invoke(command, ["remove", *root]).output
    missing = runner.invoke(command, ["check", *root])
    assert isinstance(missing.exception, EmulatorMissing)


def test_library_leaves_other_programs_alone(machine: Machine) -> None:
    bochs_install.install(machine.root)
    environment = {**os.environ, "LD_PRELOAD": str(machine.root / "zpp/bochs_fix.so")}
    done = subprocess.run(["true"], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
