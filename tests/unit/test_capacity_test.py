"""Sticks that claim a larger capacity than they have."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from writing import (
    MIB,
    Misbehaving,
    old_stick,
)

from efi_image.errors import (
    VerificationFailed,
)
from efi_image.flash.capacity_test import check_capacity, places


def test_fakes_are_found(tmp_path: Path) -> None:
    stick = old_stick(tmp_path, 16 * MIB)
    for real in (16 * MIB, 8 * MIB, 4 * MIB, 5 * MIB):
        medium = Misbehaving(stick)
        medium.real = real
        if real == 16 * MIB:
            check_capacity(medium)
        elif real & (real - 1) == 0:
            with pytest.raises(VerificationFailed, match="claims 16777216 bytes, but loses"):
                check_capacity(medium)
        medium.close()


def test_blocks_are_everywhere() -> None:
    for size in (4096, 2 * MIB, 16 << 30, (16 << 30) + 512 * 77):
        found = places(size)
        assert found[-1] == size // 4096 * 4096 - 4096
        assert found == sorted(set(found))
        assert all(place % 4096 == 0 for place in found)
        assert len(found) < 2000
        gaps = [b - a for a, b in itertools.pairwise(found)]
        assert max(gaps, default=0) <= max(64 * MIB, size // 16)
