"""The project's own parts of a Bochs installation: compiled, or ready in an installed package."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import MissingError


@dataclass(frozen=True, slots=True)
class Part:
    """A part by the name of its file; `source` is a file of ovmf/bochs."""

    name: str
    source: str
    options: tuple[str, ...]
    libraries: tuple[str, ...] = ()


PARTS = (
    Part("bochs_fix.so", "bochs_fix.c", ("-std=gnu17", "-O2", "-shared", "-fPIC"), ("-ldl",)),
    Part(
        "divide.efi", "divide.S",
        ("-nostdlib", "-static", "-no-pie", "-Wl,--oformat=binary,-Ttext=0,-e,0,--build-id=none"),
    ),
)  # fmt: skip


def data_file(name: str) -> Path:
    """A file of ovmf/bochs, in a checkout or in an installed package."""
    for folder in _folders():
        if (folder / name).is_file():
            return folder / name
    raise MissingError(
        f"ovmf/bochs/{name} is missing", hint="the checkout is incomplete: `git status`"
    )


def _folders() -> tuple[Path, ...]:
    here = Path(__file__).resolve().parents[1]
    return here.parent / "ovmf/bochs", here / "data/bochs"


def sources_digest() -> str:
    """SHA-256 of the parts' sources, in hexadecimal."""
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(data_file(part.source).read_bytes())
    return digest.hexdigest()


def make_parts(folder: Path) -> None:
    """Put the parts into a folder; raises MissingError without a C compiler that makes them."""
    for part in PARTS:
        source = data_file(part.source)
        ready = source.with_name(part.name)
        if ready.is_file():
            shutil.copyfile(ready, folder / part.name)
        else:
            _compile(part, source, folder)


def _compile(part: Part, source: Path, folder: Path) -> None:
    target = str(folder / part.name)
    command = ["cc", *part.options, "-o", target, str(source), *part.libraries]
    environment = {**os.environ, "TMPDIR": str(folder)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError:
        raise MissingError(
            "no C compiler is installed", hint="`apt install gcc libc6-dev`"
        ) from None
    if done.returncode != 0:
        raise MissingError(
            f"{source.name} does not compile",
            details=(" ".join(command), *done.stderr.splitlines()[-12:]),
        )
