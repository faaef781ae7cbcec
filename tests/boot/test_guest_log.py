"""The reader of serial logs, on logs made by hand: it must not see what is not there."""

from __future__ import annotations

from show import shown
from view import SIGNATURE, View, read, starts

HELD = "zpp: CPU 0 (APIC ID 0) held with Intel VT-x\nzpp: CPU 1 (APIC ID 2) held with Intel VT-x\n"
LINUX = f"""zpp-guest: Linux 6.1.0-1-cloud-amd64
Linux sees 2 CPUs
CPU 0: hypervisor {SIGNATURE} version 0.1.0
CPU 1: hypervisor {SIGNATURE} version 0.1.0
CPU 1 offline
CPU 1 online
CPU 1: hypervisor {SIGNATURE} version 0.1.0
zpp-guest: done
"""


def test_everything_is_read() -> None:
    name = f"{SIGNATURE} version 0.1.0"
    assert read(HELD + LINUX) == View(
        held={0: "Intel VT-x", 1: "Intel VT-x"},
        no_hypervisor="",
        release="6.1.0-1-cloud-amd64",
        cpus=2,
        seen={0: name, 1: name},
        offline=(1,),
        online=(1,),
        seen_again={1: name},
        problems=(),
        failures=(),
        done=True,
    )


def test_the_later_line_does_not_hide_the_first() -> None:
    view = read(
        LINUX.replace(f"CPU 1: hypervisor {SIGNATURE} version 0.1.0", "CPU 1: no hypervisor", 1)
    )
    assert view.seen[1] == ""
    assert view.seen_again[1].startswith(SIGNATURE)


def test_reboot_gives_two_views() -> None:
    first, second = starts(HELD + "zpp-guest: rebooting\n" + LINUX)
    assert (first.cpus, second.cpus) == (0, 2)
    assert second.held == {}


def test_shown_needs_every_part() -> None:
    whole = HELD + LINUX
    assert shown(read(whole), 2)
    assert not shown(read(whole), 3)
    for line in (*HELD.splitlines(), *LINUX.splitlines()[1:4], LINUX.splitlines()[-1]):
        assert not shown(read(whole.replace(f"{line}\n", "")), 2), line
    assert not shown(read(whole + "zpp-guest: FAIL: something\n"), 2)
