"""What type hints want of `typing`, which takes 3 ms to import and does nothing at run time."""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os
    from typing import Any, Protocol, dataclass_transform

    AnyPath = str | os.PathLike[str]
else:
    Protocol = object

    def dataclass_transform(**_options: Any) -> Callable[[Any], Any]:
        """Mark a class whose subclasses are checked as dataclasses."""
        return lambda marked: marked


__all__ = ["TYPE_CHECKING", "Protocol", "dataclass_transform"]
