"""zpp.conf: what is written is read back, and each fault is named with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efi_image.errors import ConfError, UsageError
from efi_image.formats.zpp_conf import MAX_SIZE, BootEntry, ZppConf, parse

LINUX = BootEntry("linux", "\\EFI\\zpp\\kernel.efi", "\\EFI\\zpp\\initrd.img", "console=ttyS0 a=b")


def test_text() -> None:
    conf = ZppConf(hypervisor=False, serial=0, visible=True, reset_after=0, trace=0xE9,
                   menu_timeout=5, boot_tries=0, save_log=False, default="linux",
                   entries=(LINUX,), check=True)  # fmt: skip
    lines = conf.to_text().splitlines()
    assert lines[0].startswith("# written by zpp-image ")
    assert lines[1:] == [
        "hypervisor = off",
        "driver = \\EFI\\zpp\\ZppDxe.efi",
        "check = on",
        "serial = 0",
        "visible = on",
        "reset-after = 0",
        "save-log = off",
        "trace = 0xe9",
        "menu-timeout = 5",
        "boot-tries = 0",
        "default = linux",
        "",
        "[linux]",
        "path = \\EFI\\zpp\\kernel.efi",
        "initrd = \\EFI\\zpp\\initrd.img",
        "cmdline = console=ttyS0 a=b",
    ]


def test_empty_file_is_all_defaults() -> None:
    assert parse(b"") == ZppConf()


def test_defaults_are_left_out_where_they_are_empty() -> None:
    text = ZppConf(entries=(BootEntry("a", "\\a.efi"),)).to_text()
    assert "visible" not in text
    assert "reset-after" not in text
    assert "trace" not in text
    assert "check" not in text
    assert "menu-timeout" not in text
    assert "boot-tries" not in text
    assert "save-log" not in text
    assert "default" not in text
    assert "initrd" not in text
    assert "cmdline" not in text


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60).map(str.strip)
ENTRY = st.builds(
    BootEntry,
    st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
    TEXT.filter(bool),
    TEXT,
    TEXT,
)


@pytest.mark.slow
@given(
    st.booleans(),
    TEXT.filter(bool),
    st.integers(0, 0xFFF8),
    st.lists(ENTRY, max_size=5, unique_by=lambda entry: entry.name),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3600),
    st.integers(0, 0xFFF8),
    st.integers(0, 3600),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
def test_round_trip(
    hypervisor: bool, driver: str, serial: int, entries: list[BootEntry],
    visible: bool, first: bool, crlf: bool, reset_after: int, trace: int,
    menu_timeout: int, boot_tries: int, check: bool, save_log: bool,
) -> None:  # fmt: skip
    default = entries[0].name if first and entries else ""
    conf = ZppConf(hypervisor, driver, serial, visible, reset_after, trace, menu_timeout,
                   boot_tries, save_log, default, tuple(entries), check)  # fmt: skip
    data = conf.to_text().encode("ascii")
    assert parse(data.replace(b"\n", b"\r\n") if crlf else data) == conf


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("hypervisor = maybe", 1, "hypervisor must be on or off, not 'maybe'"),
        ("check = yes", 1, "check must be on or off, not 'yes'"),
        ("visible = 1", 1, "visible must be on or off, not '1'"),
        ("save-log = always", 1, "save-log must be on or off, not 'always'"),
        ("reset-after = 3601", 1, "reset-after must be 0 to 3600 seconds, not '3601'"),
        ("reset-after = -1", 1, "reset-after must be 0 to 3600 seconds, not '-1'"),
        ("menu-timeout = 3601", 1, "menu-timeout must be 0 to 3600 seconds, not '3601'"),
        ("boot-tries = many", 1, "boot-tries must be 0 to 100, not 'many'"),
        ("hypervisor on", 1, "expected `key = value`"),
        ("\n\nhypervisor = on # yes", 3, "hypervisor must be on or off"),
        ("hypervizor = on", 1, "unknown key 'hypervizor' in the part before any section"),
        ("path = x", 1, "unknown key 'path'"),
        ("[a]\npath = x\nserial = 1", 3, "unknown key 'serial' in section [a]"),
        ("serial = 0x10000", 1, "serial must be an I/O port or 0"),
        ("serial = 65535", 1, "serial must be an I/O port or 0"),
        ("trace = 65536", 1, "trace must be an I/O port or 0, not '65536'"),
        ("serial = com1", 1, "serial must be an I/O port or 0"),
        ("serial = 1\nserial = 1", 2, "'serial' is set already in line 1"),
        ("[a]\npath = x\n[a]\n", 3, "section [a] is there already"),
        ("[a", 1, "expected `[name]`"),
        ("[]", 1, "expected `[name]`"),
        ("[a b]", 1, "expected `[name]`"),
        ("[a]\n[b]\npath = x", 1, "section [a] has no path"),
        ("default = a", 1, "there is no section [a]"),
        ("driver = \xfc", 1, "is not printable ASCII"),
        ("driver = a\x00b", 1, "is not printable ASCII"),
    ],
)
def test_faults(text: str, place: int, what: str) -> None:
    with pytest.raises(ConfError) as caught:
        parse(text.encode("latin-1"), "zpp.conf")
    assert str(caught.value).startswith(f"zpp.conf:{place}: ")
    assert what in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("default", ["arch.conf", "Linux.EFI", "debian-*", "?.b", "*"])
def test_default_can_be_a_loader_entry(default: str) -> None:
    assert parse(f"default = {default}\n".encode()).default == default


def test_size_limit() -> None:
    parse(b"#" * MAX_SIZE)
    with pytest.raises(ConfError, match="limit"):
        parse(b"#" * (MAX_SIZE + 1))
    with pytest.raises(UsageError, match="limit"):
        ZppConf(entries=(BootEntry("a", "b", cmdline="x" * MAX_SIZE),)).to_text()


@pytest.mark.parametrize("cmdline", ["a\nb", "a\rb", "ä", "a\0"])
def test_values_that_the_file_cannot_hold(cmdline: str) -> None:
    with pytest.raises(UsageError, match="is not allowed in") as caught:
        ZppConf(entries=(BootEntry("a", "b", cmdline=cmdline),)).to_text()
    assert str(caught.value).isprintable()


def test_section_name_that_the_file_cannot_hold() -> None:
    with pytest.raises(UsageError, match="section"):
        ZppConf(entries=(BootEntry("a]", "b"),)).to_text()
