"""Frozen records: what a dataclass would do, done by methods that all classes share."""

from __future__ import annotations

from typing import Any

import pytest

from efi_image.record import Record, as_dict, replace


class Point(Record):
    x: int
    y: int = 2


class Named(Point):
    name: str = "origin"
    corners: tuple[Point, ...] = ()


def test_fields_are_given_by_place_by_name_or_by_default() -> None:
    assert (Point(1).x, Point(1).y) == (1, 2)
    assert Point(1, 3) == Point(y=3, x=1) == replace(Point(1), y=3)
    named = Named(1, name="corner")
    assert (named.x, named.y, named.name) == (1, 2, "corner")
    assert repr(named) == "Named(x=1, y=2, name='corner', corners=())"


@pytest.mark.parametrize(
    ("places", "names"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})],
)
def test_other_fields_are_refused(places: tuple[int, ...], names: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^Point has the fields x, y$"):
        Point(*places, **names)
    with pytest.raises(TypeError, match="Point"):
        replace(Point(1), z=1)


def test_records_are_frozen() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point is frozen"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="Point is frozen"):
        del point.x
    assert point == Point(1)


def test_equal_records_are_of_one_class_and_have_one_hash() -> None:
    assert len({Point(1), Point(1, 2), Point(1, 3)}) == 2
    assert Point(1) != Named(1)
    assert Point(1) != (1, 2)


def test_as_dict_goes_into_records_and_tuples() -> None:
    assert as_dict(Named(1, corners=(Point(3), Point(4, 5)))) == {
        "x": 1,
        "y": 2,
        "name": "origin",
        "corners": [{"x": 3, "y": 2}, {"x": 4, "y": 5}],
    }
