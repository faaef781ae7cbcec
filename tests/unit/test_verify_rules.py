"""The rules of verify: their numbers, their texts, and the documentation made from them."""

from __future__ import annotations

import re
from pathlib import Path

from fatdamage import DAMAGES
from test_help import not_plain

from efi_image.verify.finding import Finding, Fix, Location
from efi_image.verify.rules import BY_CODE, RULES, Severity, markdown

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs/reference/verify.md"


def test_rules_are_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert text.endswith("## Findings\n" + markdown()), (
        "write `markdown()` into docs/reference/verify.md"
    )


def test_what_fsck_lets_pass_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    listed = re.search(r"stricter than fsck.fat, which\s+lets\s+pass: (.*?)\. sgdisk", text, re.S)
    assert listed is not None
    passed = {damage.rule for damage in DAMAGES if not damage.fsck}
    assert set(re.findall(r"F\d{3}", listed[1])) == passed | {"F121"}


def test_rules_are_consistent() -> None:
    assert len(BY_CODE) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"ZPP-[DMGFBCSW]\d{3}", rule.code)
        assert rule.fix or rule.repair, rule.code
        for text in (rule.title, rule.why, rule.fix, rule.repair):
            assert not text.endswith("."), rule.code
            assert text.count("`") % 2 == 0, rule.code
            assert not_plain(text) == [], rule.code
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "efi_image/verify").rglob("*.py")
        if path.name != "rules.py"
    )
    named = set(re.findall(r'"(?:ZPP-)?([DMGFBCSW]\d{3})"', source))
    assert named == {rule.code.removeprefix("ZPP-") for rule in RULES}


def test_every_severity_is_there() -> None:
    assert {rule.severity for rule in RULES} == set(Severity)


def finding(code: str, part: str, fix: Fix | None = None) -> Finding:
    return Finding(BY_CODE[code], Location(part), "reason", fix)


def test_advice_is_a_command_for_the_image() -> None:
    advice = finding("ZPP-G115", "disk", Fix("moved it", ())).advice("a b.img")
    assert advice == "`zpp-image verify --fix 'a b.img'` moves it to the last sector"
    assert finding("ZPP-G115", "disk").advice("a b.img") == "`sgdisk -e 'a b.img'`"
    assert finding("ZPP-D103", "disk").advice("a.img") == "`sgdisk -t N:EF00 a.img`"
    assert finding("ZPP-D103", "partition 2").advice("a.img") == "`sgdisk -t 2:EF00 a.img`"
