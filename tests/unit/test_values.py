"""Values as people write them."""

from __future__ import annotations

import pytest

from efi_image.config.values import parse_size
from efi_image.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("65536", 65536), ("65536B", 65536), (" 64M ", 64 << 20), ("64MiB", 64 << 20),
        ("64mib", 64 << 20), ("1.5G", 3 << 29), ("0.5K", 512), ("8GB", 8 * 10**9),
        ("1.5kB", 1500), ("2T", 2 << 40), ("2TB", 2 * 10**12),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    """As truncate and dd have them: 1K is 1024 bytes, 1KB 1000, 1KiB 1024."""
    assert parse_size(text, "--size") == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1.G", ".5G", "1 G", "1X", "1e9", "0x10", "1GBB"])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(UsageError, match="expected a size such as 64M or 1.5G"):
        parse_size(text, "--size")
