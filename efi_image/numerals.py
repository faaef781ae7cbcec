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


def is_number(text: str, decimals: int, hexadecimals: int) -> bool:
    """Whether it is decimal or hexadecimal, with so many digits at most; not with a leading 0,
    which is octal to some."""
    if is_decimal(text, decimals):
        return text == "0" or text[0] != "0"
    return is_hexadecimal(text, hexadecimals)
