"""Frozen records whose classes are made at once.

A dataclass writes and compiles the source of five methods whenever its module is imported: half
a millisecond for each class, which was a quarter of what a small image took (docs/adr/0007). The
methods here are the same for all records. To whoever checks types it is a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Sequence

from efi_image.hints import TYPE_CHECKING, dataclass_transform

if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, TypeVar

    AnyRecord = TypeVar("AnyRecord", bound="Record")


@dataclass_transform(frozen_default=True)
class Record:
    """A base class: its subclasses list their fields, with defaults or without, and are frozen."""

    _fields: ClassVar[tuple[str, ...]] = ()
    _names: ClassVar[frozenset[str]] = frozenset()
    _defaults: ClassVar[dict[str, object]] = {}

    def __init_subclass__(cls) -> None:
        cls._fields += tuple(cls.__annotations__)
        cls._names = frozenset(cls._fields)
        cls._defaults = {name: getattr(cls, name) for name in cls._fields if hasattr(cls, name)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        values.update(zip(self._fields, args, strict=False))
        values.update(kwargs)
        given = len(values)
        if given < len(self._fields):
            values.update(self._defaults | values)
        if values.keys() != self._names or given != len(args) + len(kwargs):
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(self._fields)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self._fields))

    def __repr__(self) -> str:
        values = (f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({', '.join(values)})"


def replace(record: AnyRecord, **changes: Any) -> AnyRecord:
    """The same record with other values in some fields."""
    return type(record)(**record.__dict__ | changes)


def as_dict(record: Record) -> dict[str, Any]:
    """The fields by name; what is in them, and in tuples, in the same way."""
    return {name: _plain(record.__dict__[name]) for name in record._fields}


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return as_dict(value)
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return value
