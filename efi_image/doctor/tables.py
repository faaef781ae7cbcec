"""The types of the tables in requirements.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Group(Enum):
    """When the launch checks a requirement (enum zpp_group)."""

    FOR_LOADER = auto()
    FOR_CORE = auto()
    IS_VTX = auto()
    IS_AMDV = auto()
    FOR_VTX = auto()
    FOR_AMDV = auto()


class Source(Enum):
    """Where a value comes from (enum zpp_source)."""

    MSR = auto()
    CPUID_EAX = auto()
    CPUID_EBX = auto()
    CPUID_ECX = auto()
    CPUID_EDX = auto()
    CR4 = auto()


class Rule(Enum):
    """What the bits must be (enum zpp_rule)."""

    ALL_1 = auto()
    ALL_0 = auto()
    NOT_LOCKED_OFF = auto()


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of zpp_requirements[]; `reason` is the text of its status."""

    group: Group
    source: Source
    index: int
    rule: Rule
    mask: int
    reason: str
    detail: str
    name: str
    fix: str

    def is_met(self, value: int) -> bool:
        """As zpp_meets()."""
        bits = value & self.mask
        match self.rule:
            case Rule.ALL_1:
                return bits == self.mask
            case Rule.ALL_0:
                return bits == 0
            case Rule.NOT_LOCKED_OFF:
                return bits != 1


@dataclass(frozen=True, slots=True)
class CapturedMsrs:
    """A row of zpp_captured_msrs[]."""

    first: int
    count: int  # 0: two for each variable range of IA32_MTRRCAP
    source: Source
    index: int
    mask: int
