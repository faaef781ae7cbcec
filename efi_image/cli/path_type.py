"""The type of paths on the command line."""

from __future__ import annotations

import os
from typing import Any

import click


class PathType(click.Path):
    """A path. An empty one, which a script gives by mistake, would mean the current directory."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        if value == "" and param:
            name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
            raise click.UsageError(f"{name} is empty", ctx)
        return super().convert(value, param, ctx)
