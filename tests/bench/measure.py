"""A row of what `make bench` prints."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A row of the result: the best figure of a public hypervisor on this rig, and our goal."""

    name: str
    unit: str
    value: float
    goal: float | None = None
    public: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal


class BenchError(Exception):
    """A measurement that gave no number."""


def say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
