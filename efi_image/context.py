"""Functions as context managers, as contextlib has them, which takes a while to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from efi_image.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import contextmanager as manager
    from types import TracebackType
else:

    class _Manager:
        """Goes on with the generator at the end of the block, as well or as ill as that ends."""

        def __init__(self, steps: Iterator[object]) -> None:
            self._steps = steps

        def __enter__(self) -> object:
            return next(self._steps)

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None:
            if error is None:
                next(self._steps, None)
                return
            try:
                self._steps.throw(error)
            except BaseException as raised:
                if raised is not error:
                    raise

    def manager(function: Callable[..., Iterator[object]]) -> Callable[..., _Manager]:
        """A function that yields once as the maker of a context manager, which hides no error."""

        def made(*args: object, **kwargs: object) -> _Manager:
            return _Manager(function(*args, **kwargs))

        made.__doc__ = function.__doc__
        return made


__all__ = ["manager"]
