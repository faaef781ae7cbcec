"""The site's pages for the commands of zpp-image, generated from click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from efi_image.cli.app import COMMANDS, cli

INTRODUCTION = """\
# Commands

Generated from `zpp-image COMMAND --help`. [Command line](../command-line.md) has what all commands
share: output, exit codes, configuration.

| command | what it does |
| --- | --- |
"""
_BLOCK = re.compile(r"\x08\n(\w[^\n]*):\n((?: +[^\n]*(?:\n|$))+)")
_MARKS = re.compile(r"([\\`*_<>\[\]|~$])")


def escaped(text: str) -> str:
    """The text, escaped for Markdown."""
    return _MARKS.sub(r"\\\1", text)


def prose(text: str) -> str:
    """A help text as Markdown; its examples become a block."""
    parts, end = [], 0
    text = cleandoc(text)
    for match in _BLOCK.finditer(text):
        lines = "\n".join(line.strip() for line in match[2].splitlines())
        parts += [escaped(text[end : match.start()]), f"{match[1]}:\n\n```sh\n{lines}\n```\n"]
        end = match.end()
    return "\n".join((*parts, escaped(text[end:]))).strip()


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """The rows of a table of its options."""
    found = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    records = [option.get_help_record(context) for option in found]
    shown = [record for record in records if record]
    if shown:
        yield "| option | what it does |\n| --- | --- |"
    for names, text in shown:
        code = names.replace("|", "\\|")
        yield f"| `{code}` | {escaped(' '.join(text.split()))} |"


def page(name: str, parent: click.Context, level: str = "#") -> Iterator[str]:
    """A command, and the commands below it."""
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    yield f"{level} {context.command_path}\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```\n"
    yield prose(command.help or "") + "\n"
    yield "\n".join(options(command, context)) + "\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from page(below, context, level + "#")


def write_pages(folder: Path) -> None:
    """A page for each command, and index.md with all of them."""
    folder.mkdir(parents=True)
    parent = click.Context(cli, info_name="zpp-image", max_content_width=100)
    rows = "\n".join(f"| [{name}]({name}.md) | {text} |" for name, text in COMMANDS.items())
    names = "\n".join(COMMANDS)
    index = f"{INTRODUCTION}{rows}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    (folder / "index.md").write_text(index, encoding="utf-8")
    for name in COMMANDS:
        (folder / f"{name}.md").write_text("\n".join(page(name, parent)), encoding="utf-8")
