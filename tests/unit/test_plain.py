"""The words of a plain `make`: what is read without click is what click reads."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import click
from hypothesis import given
from hypothesis import strategies as st

from efi_image.commands import make as make_command
from efi_image.commands import plain
from efi_image.commands.making import CHOICES, Asked

OPTIONS = {
    name: option
    for option in make_command.command.params
    if isinstance(option, click.Option)
    for name in (*option.opts, *option.secondary_opts)
}
ODD = (
    "",
    "-",
    "--",
    "-x",
    "--help",
    "--unknown",
    "--kernel=",
    "--ker",
    "--json=1",
    "a=b",
    "\udc80",
)
NAMES = st.sampled_from([*OPTIONS, *ODD])
VALUES = st.sampled_from(
    [*ODD, "x.img", "./a//b", "64M", "a:/b", *(each for some in CHOICES.values() for each in some)]
)
WORDS = st.lists(NAMES | VALUES | st.builds("{}={}".format, NAMES, VALUES), max_size=6)


def by_click(words: list[str]) -> Asked | None:
    """What click reads; None: it has something to say, such as help or a mistake."""
    found: list[Asked] = []
    with mock.patch.object(make_command, "make", found.append):
        try:
            with make_command.command.make_context("make", list(words)) as context:
                make_command.command.invoke(context)
        except (click.ClickException, click.exceptions.Exit):
            return None
    return found[0]


def normal(asked: Asked | None) -> object:
    """Without what was not given, and with paths as pathlib writes them."""
    if asked is None:
        return None
    paths = {"output", "build_dir"}
    single = {
        name: str(Path(str(value))) if name in paths else value
        for name, value in asked.single.items()
        if value not in (None, False) or (name == "digest" and value is False)
    }
    manifest = asked.manifest and str(Path(asked.manifest))
    return single, manifest, asked.boots, asked.additions, asked.partitions, asked.as_json


@given(WORDS)
def test_what_is_read_is_what_click_reads(words: list[str]) -> None:
    asked = plain.read(words)
    if asked is not None:
        assert normal(asked) == normal(by_click(words))


@given(st.lists(st.sampled_from(sorted(plain.VALUES)), unique=True))
def test_usual_words_are_read(names: list[str]) -> None:
    words = ["out.img", "--add", "a:/b", "--boot=c", "--partition", "d:linux"]
    for name in names:
        words += [name, next(iter(CHOICES.get(plain.VALUES[name], ["1M"])))]
    asked = plain.read(words)
    assert asked is not None
    assert normal(asked) == normal(by_click(words))


def test_all_options_are_known() -> None:
    known = {*plain.VALUES, *plain.LISTS, *plain.FLAGS, plain.JSON, plain.MANIFEST}
    assert known | {"--show"} == set(OPTIONS)


def test_what_click_has_to_say_is_left_to_it() -> None:
    for words in (["--help"], ["--show"], ["a", "b"], ["--fat", "13"], ["--size"], ["--size="],
                  ["--kernel", "--json"], ["--", "x"]):  # fmt: skip
        assert plain.read(words) is None
