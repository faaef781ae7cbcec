"""Whether text is a number; without `re`, which takes 3 ms to import and to compile patterns."""

from __future__ import annotations

HEXADECIMAL = "0123456789abcdefABCDEF"


def is_decimal(text: str, most: int) -> bool:
    """Whether it has decimal digits alone, and so many at most."""
    return text.isascii() and text.isdecimal() and len(text) <= most


def is_hexadecimal(text: str, most: int) -> bool:
    """Whether it is `0x` and so many hexadecimal digits at most."""
    digits = text[2:]
    return text[:2] in {"0x", "0X"} and 0 < len(digits) <= most and not digits.strip(HEXADECIMAL)
