"""The machine's Debian mirror, asked of the real apt with configurations of the test's making."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from efi_image.emulator.debian import apt
from efi_image.errors import MissingError

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")

ONE_LINE = """\
# deb http://commented.test/debian forky main
deb cdrom:[Debian 12]/ bookworm main
deb http://security.test/debian-security bookworm-security main
deb [arch=amd64] http://third.test/packages stable main
deb-src http://sources.test/debian bookworm main
deb [arch=amd64 trusted=yes] http://mirror.test/pub/debian/ bookworm main contrib
"""
DEB822 = """\
Types: deb
URIs: http://disabled.test/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://security.test/debian
Suites: bookworm-security
Components: main

Types: deb deb-src
# a comment
URIs: http://mirror.test/pub/debian
Suites: bookworm bookworm-updates
Components: main
"""


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose apt reads nothing but the folder."""
    for name in ("parts", "sources", "state/lists/partial", "cache"):
        (tmp_path / name).mkdir(parents=True)
    conf = tmp_path / "apt.conf"
    conf.write_text(
        f'Dir::Etc::main "{tmp_path}/none";\n'
        f'Dir::Etc::parts "{tmp_path}/parts";\n'
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\n'
        f'Dir::Etc::sourceparts "{tmp_path}/sources";\n'
        f'Dir::State "{tmp_path}/state";\n'
        f'Dir::Cache "{tmp_path}/cache";\n'
        'Acquire::http::Proxy "http://proxy.test:3128";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(conf))
    return tmp_path


def test_one_line_sources(configure: Path) -> None:
    (configure / "sources.list").write_text(ONE_LINE)
    assert apt.debian_mirror() == "http://mirror.test/pub/debian"


def test_deb822_sources(configure: Path) -> None:
    (configure / "sources/debian.sources").write_text(DEB822)
    assert apt.debian_mirror() == "http://mirror.test/pub/debian"


def test_what_apt_has_downloaded_is_surer_than_a_name(configure: Path) -> None:
    (configure / "sources.list").write_text(
        "deb http://a.test/debian stable main\ndeb http://b.test/whatever bookworm main\n"
    )
    lists = configure / "state/lists"
    for name, label in (
        ("a.test_debian_dists_stable", "Other"),
        ("b.test_whatever_dists_bookworm", "Debian"),
    ):
        (lists / f"{name}_Release").write_text(
            f"Origin: {label}\nLabel: {label}\nSuite: x\nCodename: x\n"
            "Date: Sat, 06 Jun 2026 09:00:00 UTC\nComponents: main\nArchitectures: amd64 all\n"
            f"SHA256:\n {'0' * 64} 1 main/binary-amd64/Packages\n"
        )
        (lists / f"{name}_main_binary-amd64_Packages").write_text(
            "Package: x\nVersion: 1\nArchitecture: amd64\nFilename: x.deb\nSize: 1\n"
        )
    assert apt.debian_mirror() == "http://b.test/whatever"


@pytest.mark.parametrize("text", ["", "deb http://archive.test/ubuntu noble main\n"])
def test_no_debian(configure: Path, text: str) -> None:
    (configure / "sources.list").write_text(text)
    with pytest.raises(MissingError, match="--mirror URI"):
        apt.debian_mirror()


def test_broken_sources(configure: Path) -> None:
    (configure / "sources.list").write_text("nonsense\n")
    with pytest.raises(MissingError, match="apt-get failed"):
        apt.debian_mirror()


def test_network_options(configure: Path) -> None:
    assert apt.network_options() == ['Acquire::http::Proxy "http://proxy.test:3128";']


def test_no_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="apt-get is not installed"):
        apt.debian_mirror()
