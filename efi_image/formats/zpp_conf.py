"""zpp.conf: what ZppBoot reads from the ESP.

    # a comment line
    hypervisor = on
    driver = \\EFI\\zpp\\ZppDxe.efi
    serial = 0x3f8
    visible = off
    default = linux

    [linux]
    path = \\EFI\\zpp\\kernel.efi
    initrd = \\EFI\\zpp\\initrd.img
    cmdline = console=ttyS0 quiet

ASCII, LF or CRLF, at most 64 KiB. A value is the rest of its line without the blanks
around it. ZppBoot continues after a fault; this reader refuses the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from efi_image import __version__
from efi_image.errors import ConfError, UsageError

MAX_SIZE = 64 * 1024
DRIVER_PATH = "\\EFI\\zpp\\ZppDxe.efi"
CONF_PATH = "\\EFI\\zpp\\zpp.conf"

_SWITCH = {"on": True, "off": False}


def _is_name(text: str) -> bool:
    """Whether it can be a section's name: letters, digits, dots and dashes."""
    return text.isascii() and text[:1].isalnum() and all(c.isalnum() or c in "._-" for c in text)


# seconds from a crash of the core to the reset
RESET_AFTER = 10
RESET_AFTER_MAX = 3600
# seconds that the menu waits
MENU_TIMEOUT = 0
MENU_TIMEOUT_MAX = 3600
# failed boots before the hypervisor is turned off
BOOT_TRIES = 3
BOOT_TRIES_MAX = 100
# without a leading 0, which some readers take for octal
_NUMBER = re.compile(r"0|[1-9][0-9]{0,4}|0[xX][0-9a-fA-F]{1,4}")


def is_loader_entry(default: str) -> bool:
    """Whether a `default` that is not a section's name stands for loader entries."""
    return default.lower().endswith((".conf", ".efi")) or "*" in default or "?" in default


@dataclass(frozen=True, slots=True)
class BootEntry:
    """An operating system, or any EFI program, that ZppBoot can start."""

    name: str
    path: str
    initrd: str = ""
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class ZppConf:
    """The whole of a zpp.conf; no default: the firmware's next boot option is started.

    `default` names an entry, or is a pattern of the IDs of loader entries.
    """

    hypervisor: bool = True
    driver: str = DRIVER_PATH
    serial: int = 0x3F8
    visible: bool = False
    reset_after: int = RESET_AFTER
    trace: int = 0  # the debug port for the trace of VM exits; 0: none
    menu_timeout: int = MENU_TIMEOUT
    boot_tries: int = BOOT_TRIES
    save_log: bool = True  # of a boot that did not end normally
    default: str = ""
    entries: tuple[BootEntry, ...] = ()
    check: bool = False  # a diagnosis at each boot

    def to_text(self) -> str:
        """The text of the file; raises UsageError for a value that is not allowed."""
        text = "\n".join(self._lines()) + "\n"
        if len(text) > MAX_SIZE:
            raise UsageError(f"zpp.conf would have {len(text)} bytes; the limit is {MAX_SIZE}")
        return text

    def _lines(self) -> Iterator[str]:
        yield f"# written by zpp-image {__version__}"
        yield _line("hypervisor", "on" if self.hypervisor else "off")
        yield _line("driver", self.driver)
        if self.check:
            yield _line("check", "on")
        yield _line("serial", f"0x{self.serial:x}" if self.serial else "0")
        for key, value, default in (
            ("visible", "on" if self.visible else "off", "off"),
            ("reset-after", str(self.reset_after), str(RESET_AFTER)),
            ("save-log", "on" if self.save_log else "off", "on"),
            ("trace", f"0x{self.trace:x}", "0x0"),
            ("menu-timeout", str(self.menu_timeout), str(MENU_TIMEOUT)),
            ("boot-tries", str(self.boot_tries), str(BOOT_TRIES)),
        ):
            if value != default:
                yield _line(key, value)
        if self.default:
            yield _line("default", self.default)
        for entry in self.entries:
            if not _is_name(entry.name):
                raise UsageError(f"'{entry.name}' cannot be the name of a section of zpp.conf")
            yield ""
            yield f"[{entry.name}]"
            yield _line("path", entry.path)
            for key, value in (("initrd", entry.initrd), ("cmdline", entry.cmdline)):
                if value.strip():
                    yield _line(key, value)


def _line(key: str, value: str) -> str:
    value = value.strip(" \t")
    if not value.isascii() or not value.isprintable():
        raise UsageError(
            f"'{value}' is not allowed in zpp.conf",
            where=key,
            hint="only printable ASCII on one line is allowed",
        )
    return f"{key} = {value}"


class _Section:
    """A section while it is read: key → value and its line."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.values: dict[str, tuple[str, int]] = {}

    def get(self, key: str, default: str = "") -> str:
        return self.values.get(key, (default, 0))[0]


class _Parser:
    KEYS = frozenset(
        {"hypervisor", "driver", "check", "serial", "visible", "reset-after", "save-log", "trace",
         "menu-timeout", "boot-tries", "default"}
    )  # fmt: skip
    ENTRY_KEYS = frozenset({"path", "initrd", "cmdline"})

    def __init__(self, name: str) -> None:
        self._name = name
        self._sections = [_Section("", 1)]

    def fault(self, line: int, what: str) -> ConfError:
        return ConfError(what, where=f"{self._name}:{line}")

    def feed(self, number: int, line: str) -> None:
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            return
        if line.startswith("["):
            self._section(number, line)
            return
        key, equals, value = (part.strip(" \t") for part in line.partition("="))
        section = self._sections[-1]
        if not equals:
            raise self.fault(number, "expected `key = value`, `[section]` or `# comment`")
        if key not in (self.ENTRY_KEYS if section.name else self.KEYS):
            place = f"section [{section.name}]" if section.name else "the part before any section"
            raise self.fault(number, f"unknown key '{key}' in {place}")
        if key in section.values:
            raise self.fault(number, f"'{key}' is set already in line {section.values[key][1]}")
        section.values[key] = (value, number)

    def _section(self, number: int, line: str) -> None:
        name = line[1:-1].strip(" \t")
        if not line.endswith("]") or not _is_name(name):
            raise self.fault(number, "expected `[name]` of letters, digits, dots and dashes")
        if any(section.name == name for section in self._sections):
            raise self.fault(number, f"section [{name}] is there already")
        self._sections.append(_Section(name, number))

    def finish(self) -> ZppConf:
        top, *rest = self._sections
        for section in rest:
            if not section.get("path"):
                raise self.fault(section.line, f"section [{section.name}] has no path")
        default, line = top.values.get("default", ("", 0))
        is_section = default in [section.name for section in rest]
        if default and not is_section and not is_loader_entry(default):
            raise self.fault(line, f"there is no section [{default}]")
        return ZppConf(
            hypervisor=self._switch(top, "hypervisor", "on"),
            driver=top.get("driver", DRIVER_PATH),
            serial=self._port(top, "serial", "0x3f8"),
            visible=self._switch(top, "visible", "off"),
            reset_after=self._number(top, "reset-after", RESET_AFTER, RESET_AFTER_MAX, " seconds"),
            save_log=self._switch(top, "save-log", "on"),
            trace=self._port(top, "trace", "0"),
            menu_timeout=self._number(
                top, "menu-timeout", MENU_TIMEOUT, MENU_TIMEOUT_MAX, " seconds"
            ),
            boot_tries=self._number(top, "boot-tries", BOOT_TRIES, BOOT_TRIES_MAX),
            default=default,
            entries=tuple(
                BootEntry(s.name, s.get("path"), s.get("initrd"), s.get("cmdline")) for s in rest
            ),
            check=self._switch(top, "check", "off"),
        )

    def _switch(self, top: _Section, key: str, default: str) -> bool:
        value, line = top.values.get(key, (default, 0))
        if value not in _SWITCH:
            raise self.fault(line, f"{key} must be on or off, not '{value}'")
        return _SWITCH[value]

    def _number(self, top: _Section, key: str, default: int, most: int, unit: str = "") -> int:
        value, line = top.values.get(key, (str(default), 0))
        if not _NUMBER.fullmatch(value) or int(value, 0) > most:
            raise self.fault(line, f"{key} must be 0 to {most}{unit}, not '{value}'")
        return int(value, 0)

    def _port(self, top: _Section, key: str, default: str) -> int:
        value, line = top.values.get(key, (default, 0))
        if not _NUMBER.fullmatch(value) or int(value, 0) > 0xFFF8:
            raise self.fault(line, f"{key} must be an I/O port or 0, not '{value}'")
        return int(value, 0)


def parse(data: bytes, name: str = CONF_PATH) -> ZppConf:
    """Read a zpp.conf; raises ConfError with the line of the first fault."""
    parser = _Parser(name)
    if len(data) > MAX_SIZE:
        raise ConfError(f"has {len(data)} bytes; the limit is {MAX_SIZE}", where=name)
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.removesuffix(b"\r").decode("ascii", "replace")
        if "\ufffd" in text or not text.replace("\t", " ").isprintable():
            raise parser.fault(number, "is not printable ASCII")
        parser.feed(number, text)
    return parser.finish()
