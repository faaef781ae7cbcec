"""The rules' texts and the documentation say of firmware only what the table of boots shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import secure_rows
from firmware_rows import NOTHING, ROWS, STARTS, markdown

from efi_image.verify.rules import RULES, Rule

DOCS = Path(__file__).resolve().parents[2] / "docs/reference/firmware.md"
# rules of the other kinds: see Secure Boot's table, and zpp's own loader
OTHER_TABLES = ("ZPP-S", "ZPP-C")
# claims that the rows of another rule show as well, or that are the specification's alone
SHOWN_BY = {"B110": "B101", "B111": "B108"}
SPECIFIED = {"G105"}
NAMED = re.compile(r"\b(OVMF|firmware|UEFI|EDK2|drivers?)\b")


def results(rule: Rule) -> set[str]:
    code = rule.code.removeprefix("ZPP-")
    shown = SHOWN_BY.get(code, code)
    return {result for row in ROWS if row.rule == shown for result in row.results}


CLAIMS = [
    rule
    for rule in RULES
    if NAMED.search(rule.why)
    and not rule.code.startswith(OTHER_TABLES)
    and rule.code.removeprefix("ZPP-") not in SPECIFIED
]


@pytest.mark.parametrize("rule", CLAIMS, ids=lambda rule: rule.code)
def test_a_claim_about_firmware_was_booted(rule: Rule) -> None:
    shown = results(rule)
    assert shown, f"{rule.code} says {rule.why!r}, but ROWS has no row for it"
    if "OVMF starts" in rule.why and "OVMF starts nothing" not in rule.why:
        assert shown - {NOTHING}, rule.why
    if re.search(r"OVMF (does not|starts nothing)", rule.why):
        assert NOTHING in shown, rule.why


@pytest.mark.parametrize("table", [markdown, secure_rows.markdown], ids=["faults", "secure-boot"])
def test_the_tables_are_documented(table: Callable[[], str]) -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert table() in text, "write `markdown()` into docs/reference/firmware.md"


def test_every_rule_about_signatures_was_booted() -> None:
    """Except S105, signatures that cannot be read: no signer is known to make one."""
    rules = {rule.code.removeprefix("ZPP-") for rule in RULES if rule.code.startswith("ZPP-S")}
    assert {row.rule for row in secure_rows.ROWS} == {"", *rules - {"S105"}}


@pytest.mark.parametrize("row", secure_rows.ROWS, ids=lambda row: row.program)
def test_verdict_and_result_agree(row: secure_rows.SecureRow) -> None:
    """A clean verdict is for both versions, S106 for a difference, the others for neither."""
    wanted = {"": (STARTS, STARTS), "S106": (NOTHING, STARTS)}
    assert row.results == wanted.get(row.rule, (NOTHING, NOTHING))


def test_rows_differ() -> None:
    assert len({(row.rule, row.fault) for row in ROWS}) == len(ROWS)
