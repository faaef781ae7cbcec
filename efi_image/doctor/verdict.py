"""The verdict about a machine, by the same tables and in the same order as a launch.

hypervisor/loader/diagnosis.c is the same for ZppBoot. A test compares both, and the core's own
refusals, on every recorded machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from efi_image.doctor.machine import Cpu, Machine
from efi_image.doctor.requirements import (
    COMPARED_MSRS,
    FIXES,
    REASONS,
    REQUIREMENTS,
    SAME_VMX,
    ZPP_KEY,
    ZPP_LEAF,
)
from efi_image.doctor.tables import Group, Requirement, Source

VENDORS = {Group.FOR_VTX: "Intel VT-x", Group.FOR_AMDV: "AMD-V"}
_IS = {Group.FOR_VTX: Group.IS_VTX, Group.FOR_AMDV: Group.IS_AMDV}
_FIX_OF_VENDOR = {
    "GenuineIntel": FIXES["VTX"], "AuthenticAMD": FIXES["AMDV"], "HygonGenuine": FIXES["AMDV"],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether zpp will run; None: a value that the answer depends on is not known."""

    runs: bool | None
    vendor: str = ""  # what zpp uses there
    cpu: int = 0  # the first CPU with this reason
    reason: str = ""  # as a refused launch says it
    detail: str = ""
    fix: str = ""

    def record(self) -> Mapping[str, Any]:
        """As it is saved in a machine.json."""
        if self.runs is not False:
            return {"runs": self.runs}
        return {"runs": False, "cpu": self.cpu, "reason": self.reason, "detail": self.detail,
                "fix": self.fix}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """A requirement, and the CPUs that do not meet it or for which that is not known."""

    name: str
    missing: tuple[int, ...]
    unknown: tuple[int, ...]


class _Refused(Exception):
    """Why a launch is refused; the attribute is None where that is not known."""

    def __init__(self, verdict: Verdict | None) -> None:
        super().__init__()
        self.verdict = verdict


def _refuse(reason: str, detail: str, fix: str) -> _Refused:
    return _Refused(Verdict(False, reason=reason, detail=detail, fix=fix))


def _rows(group: Group) -> Iterator[Requirement]:
    return (row for row in REQUIREMENTS if row.group is group)


def _has(cpu: Cpu, group: Group) -> bool:
    return all(row.is_met(cpu.value(row.source, row.index) or 0) for row in _rows(group))


def _require(cpu: Cpu, group: Group) -> None:
    for row in _rows(group):
        value = cpu.value(row.source, row.index)
        if value is None and row.source is Source.CR4:
            continue
        if value is None:
            raise _Refused(None)
        if not row.is_met(value):
            raise _refuse(row.reason, row.detail, row.fix)


def _prepare(first: Cpu) -> Group:
    """As zpp_loader_prepare() and the core's PREPARE; returns what zpp uses."""
    if (ZPP_LEAF, ZPP_KEY) in first.cpuid:
        raise _refuse(REASONS["IN_USE"], "", FIXES["ZPP"])
    _require(first, Group.FOR_LOADER)
    _require(first, Group.FOR_CORE)
    for vendor, shown in _IS.items():
        if _has(first, shown):
            _require(first, vendor)
            return vendor
    fix = _FIX_OF_VENDOR.get(first.vendor, "")
    raise _refuse(REASONS["NO_VIRTUALIZATION"], "", fix)


def _launch(first: Cpu, cpu: Cpu, vendor: Group) -> None:
    """As the core's LAUNCH on a CPU."""
    _require(cpu, _IS[vendor])
    _require(cpu, vendor)
    if vendor is Group.FOR_VTX and any(
        (first.msrs.get(index, 0) ^ cpu.msrs.get(index, 0)) & mask
        for index, mask in COMPARED_MSRS.items()
    ):
        raise _refuse(REASONS["MISSING_FEATURE"], SAME_VMX, FIXES["SAME_VMX"])


def _fix(verdict: Verdict, first: Cpu) -> str:
    """Where a hypervisor hides VT-x or AMD-V, or a part of it, no firmware setting helps."""
    hides = verdict.reason in (REASONS["NO_VIRTUALIZATION"], REASONS["LOCKED_BY_FIRMWARE"]) or (
        verdict.reason == REASONS["MISSING_FEATURE"] and not verdict.fix
    )
    return FIXES["NESTED"] if hides and first.in_guest else verdict.fix


def diagnose(machine: Machine) -> Verdict:
    """Whether zpp will run on the machine."""
    first = machine.cpus[0]
    number = 0
    try:
        vendor = _prepare(first)
        for number, cpu in enumerate(machine.cpus):
            if number:
                _launch(first, cpu, vendor)
    except _Refused as refused:
        if refused.verdict is None:
            return Verdict(None, cpu=number)
        v = refused.verdict
        return Verdict(False, "", number, v.reason, v.detail, _fix(v, first))
    return Verdict(True, VENDORS[vendor])


def checks(machine: Machine) -> Iterator[Check]:
    """All requirements that matter on the machine, each on all CPUs; rows of one name are one."""
    first = machine.cpus[0]
    vendors = [vendor for vendor, shown in _IS.items() if _has(first, shown)][:1]
    groups = [Group.FOR_LOADER, *(_IS[v] for v in vendors or _IS), *vendors]
    names: dict[str, list[Requirement]] = {}
    for group in groups:
        for row in _rows(group):
            names.setdefault(row.name or row.detail, []).append(row)
    for name, rows in names.items():
        found = [_state(cpu, rows) for cpu in machine.cpus]
        yield Check(
            name,
            tuple(number for number, met in enumerate(found) if met is False),
            tuple(number for number, met in enumerate(found) if met is None),
        )


def _state(cpu: Cpu, rows: list[Requirement]) -> bool | None:
    met: bool | None = True
    for row in rows:
        value = cpu.value(row.source, row.index)
        if value is None:
            met = None if met else met
        elif not row.is_met(value):
            met = False
    return met
