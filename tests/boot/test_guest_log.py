"""The parser of serial logs, on logs written by hand: it must not find what is not there."""

from __future__ import annotations

from demo import succeeded
from guest_log import SIGNATURE, GuestLog, parse_boots, parse_log

ZPP = """zpp: CPU 0 (APIC ID 0) virtualized with Intel VT-x
zpp: CPU 1 (APIC ID 2) virtualized with Intel VT-x
"""
LINUX = f"""zpp-guest: Linux 6.1.0-1-cloud-amd64
Linux sees 2 CPUs
CPU 0: hypervisor {SIGNATURE} version 0.1.0
CPU 1: hypervisor {SIGNATURE} version 0.1.0
CPU 1 offline
CPU 1 online
CPU 1: hypervisor {SIGNATURE} version 0.1.0
zpp-guest: done
"""


def test_every_line_is_parsed() -> None:
    name = f"{SIGNATURE} version 0.1.0"
    assert parse_log(ZPP + LINUX) == GuestLog(
        virtualized={0: "Intel VT-x", 1: "Intel VT-x"},
        no_hypervisor="",
        linux_release="6.1.0-1-cloud-amd64",
        cpu_count=2,
        hypervisors={0: name, 1: name},
        offline=(1,),
        online=(1,),
        hypervisors_again={1: name},
        kernel_problems=(),
        failures=(),
        done=True,
    )


def test_a_later_line_does_not_hide_the_first() -> None:
    log = parse_log(
        LINUX.replace(f"CPU 1: hypervisor {SIGNATURE} version 0.1.0", "CPU 1: no hypervisor", 1)
    )
    assert log.hypervisors[1] == ""
    assert log.hypervisors_again[1].startswith(SIGNATURE)


def test_a_reboot_gives_two_logs() -> None:
    first, second = parse_boots(ZPP + "zpp-guest: rebooting\n" + LINUX)
    assert (first.cpu_count, second.cpu_count) == (0, 2)
    assert second.virtualized == {}


def test_success_needs_every_line() -> None:
    whole = ZPP + LINUX
    assert succeeded(parse_log(whole), 2)
    assert not succeeded(parse_log(whole), 3)
    for line in (*ZPP.splitlines(), *LINUX.splitlines()[1:4], LINUX.splitlines()[-1]):
        assert not succeeded(parse_log(whole.replace(f"{line}\n", "")), 2), line
    assert not succeeded(parse_log(whole + "zpp-guest: FAIL: something\n"), 2)
