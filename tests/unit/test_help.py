"""Help, completion and man pages: what they show is true."""

from __future__ import annotations

import ast
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
import pytest

from efi_image.cli.app import COMMANDS, cli
from efi_image.cli.main import main

ROOT = Path(__file__).parents[2]
# see the word list in CONTRIBUTING.md
BANNED = re.compile(
    r"\b(?:mend(?:s|ed|ing)?|may not|holds?|held|shall|anew|of use|goes? with|is a fault of)\b"
    r"|(?<!there )\b(?:is|are) no |, too\b(?! )",
    re.I,
)
EXAMPLES = re.compile(r"\x08\nExamples?:\n((?: {2}zpp-image[^\n]*(?:\n|$))+)")


def not_plain(text: str) -> list[str]:
    """Words in a text that plain English does without."""
    return BANNED.findall(text)


def commands() -> Iterator[tuple[list[str], click.Command]]:
    """Every command and subcommand, with the words that call it."""
    yield [], cli
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield [name], command
        for below in command.commands.values() if isinstance(command, click.Group) else ():
            yield [name, str(below.name)], below


def examples(command: click.Command) -> list[str]:
    found = EXAMPLES.search(cleandoc(command.help or ""))
    return [line.strip() for line in found[1].splitlines()] if found else []


COMMANDS_BY_NAME = {" ".join(words): command for words, command in commands()}


@pytest.mark.parametrize("name", list(COMMANDS_BY_NAME))
def test_help_has_examples_that_parse(name: str) -> None:
    words, lines = name.split(), examples(COMMANDS_BY_NAME[name])
    assert lines
    whole = "".join(help_texts(COMMANDS_BY_NAME[name]))
    assert len(re.findall(r"\bExamples?:\n", whole)) == 1
    for line in lines:
        program, *arguments = shlex.split(re.split(r" [>|] ", line)[0])
        assert program == "zpp-image"
        assert arguments[: len(words)] == words
        context = cli.make_context("zpp-image", arguments)
        parse_below(cli, context)


def parse_below(group: click.Group, context: click.Context) -> None:
    """Parse the rest of a command line as click would, and call nothing."""
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    with command.make_context(name, rest, parent=context) as below:
        if isinstance(command, click.Group):
            parse_below(command, below)


def help_texts(command: click.Command) -> Iterator[str]:
    """All that the help of a command says."""
    yield command.help or ""
    yield command.epilog or ""
    yield command.get_short_help_str(200)
    for parameter in command.params:
        yield getattr(parameter, "help", None) or ""


@pytest.mark.parametrize("name", list(COMMANDS_BY_NAME))
def test_help_is_plain_english(name: str) -> None:
    for text in help_texts(COMMANDS_BY_NAME[name]):
        assert not_plain(text) == []


@pytest.mark.parametrize("name", list(COMMANDS_BY_NAME))
def test_help_begins_with_one_imperative_sentence(name: str) -> None:
    first = (COMMANDS_BY_NAME[name].help or "").split("\n\n")[0]
    assert re.fullmatch(r"[A-Z][a-z]+,? [^.]*\.", " ".join(first.split()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Mend it.", ["Mend"]),
        ("is no disk", ["is no "]),
        ("there is no disk", []),
        ("--bmap is the image, too", [", too"]),
        ("A disk that shall boot holds it.", ["shall", "holds"]),
        ("household, threshold, recommended, too small", []),
    ],
)
def test_words_that_are_not_plain(text: str, found: list[str]) -> None:
    assert not_plain(text) == found


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings and messages in a file, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def test_messages_and_docstrings_are_plain_english() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in (ROOT / "efi_image").rglob("*.py")
        for line, text in strings(path)
        for word in not_plain(text)
    ]
    assert found == []


# ---- completion


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which a shell finds zpp-image."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "zpp-image"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m efi_image "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path), "TERM": "dumb"}  # fmt: skip


def shell(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not installed; `make setup` installs it", pytrace=False)
    return path


@pytest.mark.slow
def test_bash_completes(program: dict[str, str]) -> None:
    script = """
        source <(zpp-image completion bash)
        complete -p zpp-image
        for line in "zpp-image mak" "zpp-image make --plain" "zpp-image bochs in"; do
            COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
            _zpp_image_completion zpp-image
            echo "${COMPREPLY[@]}"
        done
    """
    result = subprocess.run(
        [shell("bash"), "-c", script], env=program, capture_output=True, text=True, check=True
    )
    registered, *replies = result.stdout.splitlines()
    assert registered.endswith("-F _zpp_image_completion zpp-image")
    assert replies == ["make", "--plain-fat", "install"]
    assert result.stderr == ""


@pytest.mark.slow
def test_fish_completes(program: dict[str, str]) -> None:
    script = "zpp-image completion fish | source; complete -C 'zpp-image mak'"
    result = subprocess.run(
        [shell("fish"), "--no-config", "-c", script],
        env=program, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split()[0] == "make"


@pytest.mark.slow
def test_zsh_completes(program: dict[str, str]) -> None:
    """On a terminal of its own, for zsh completes nowhere else."""
    lines = (
        "PS1='> '; autoload -Uz compinit; compinit -u -D",
        'eval "$(zpp-image completion zsh)"; echo re""ady',
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execve(shell("zsh"), ["zsh", "-f", "-i"], program)
    try:
        os.write(terminal, "\n".join(lines).encode() + b"\n")
        wait_for(terminal, "ready")
        os.write(terminal, b"zpp-image compl\t")
        wait_for(terminal, "zpp-image completion")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def wait_for(terminal: int, text: str) -> None:
    """Read until the text was seen; the test fails after a minute."""
    seen, end = "", time.monotonic() + 60
    while text not in seen:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            pytest.fail(f"no '{text}' in {seen!r}")
        seen += os.read(terminal, 4096).decode(errors="replace")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/zpp-image"),
        ("zsh", ".zfunc/_zpp-image"),
        ("fish", ".config/fish/completions/zpp-image.fish"),
    ],
)
def test_completion_installs_with_one_command(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{name}")
    assert main(["completion", "--install"]) == 0
    assert f"{tmp_path / place}: installed" in capsys.readouterr().out
    assert main(["completion", name]) == 0
    assert (tmp_path / place).read_text() == capsys.readouterr().out


@pytest.mark.slow
def test_bash_finds_the_installed_completion(program: dict[str, str]) -> None:
    """As bash-completion does it: it loads the file that has the command's name."""
    subprocess.run(["zpp-image", "completion", "bash", "--install"], env=program, check=True)
    script = """
        source "$HOME/.local/share/bash-completion/completions/zpp-image"
        complete -p zpp-image
    """
    done = subprocess.run(
        [shell("bash"), "-c", script], env=program, capture_output=True, text=True, check=True
    )
    assert "zpp-image" in done.stdout


def test_unknown_shell_of_the_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert main(["completion"]) == 2
    assert "no completion for tcsh; name one of: bash, zsh, fish" in capsys.readouterr().err


def test_unknown_shells_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


# ---- man pages


@pytest.fixture(scope="module")
def man_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    script = ROOT / ".ci/man_pages.py"
    subprocess.run(
        [sys.executable, script, folder, "2026-01-02"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return folder


@pytest.mark.slow
def test_every_command_has_a_man_page(man_pages: Path) -> None:
    names = {"-".join(["zpp-image", *name.split()]) for name in COMMANDS_BY_NAME}
    assert {path.name for path in man_pages.iterdir()} == {f"{name}.1" for name in names}
    for path in man_pages.iterdir():
        text = path.read_text()
        assert "\x08" not in text
        assert '"2026-01-02"' in text
        assert len(re.findall(r"(?m)^\.SH EXAMPLES?\n\.nf\nzpp-image", text)) == 1
        titles = re.findall(r"(?m)^\.SH (.*)", text)
        assert len(titles) == len(set(titles))
    assert ".SH EXIT STATUS\n.nf\n0  success" in (man_pages / "zpp-image.1").read_text()


@pytest.mark.slow
def test_man_shows_them_without_a_fault(man_pages: Path) -> None:
    man = shell("man")
    for path in man_pages.iterdir():
        result = subprocess.run(
            [man, "--warnings", "-l", path],
            env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stderr == "", path.name
