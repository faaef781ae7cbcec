"""The core's files include one another in one direction only, as its folders are layered."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "hypervisor/src"
# From the bottom to the top: a file includes only files of its own layer and of those below. vmx/
# and svm/ share a layer and do not know each other; core/main.cpp picks one of them.
LAYERS = (
    ("lib",),
    ("x86",),
    ("screen",),
    ("core",),
    ("paging",),
    ("guest",),
    ("apic",),
    ("emulate",),
    ("vmx", "svm"),
    ("core/main.cpp",),
)
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_CONTRACT = "zpp/"  # hypervisor/include, below all layers


def includes(source: Path) -> dict[str, list[str]]:
    """The files that each file includes, all by their paths from `source`."""
    files = [p for p in sorted(source.rglob("*")) if p.suffix in {".hpp", ".cpp", ".S"}]
    return {
        str(path.relative_to(source)): [
            name for name in _INCLUDE.findall(path.read_text()) if not name.startswith(_CONTRACT)
        ]
        for path in files
    }


def layer_of(file: str) -> tuple[int, str]:
    """The number of the layer, and the part of it: a folder or a file."""
    for number, parts in reversed(list(enumerate(LAYERS))):
        for part in parts:
            if file == part or file.startswith(f"{part}/"):
                return number, part
    raise AssertionError(f"{file} is in no layer: put its folder into LAYERS")


def wrong_includes(graph: dict[str, list[str]]) -> Iterator[str]:
    """Includes of a missing file, of a layer above, or of the neighbour in the same layer."""
    for file, included in graph.items():
        for name in included:
            if name not in graph:
                yield f"{file} includes {name}, which is not a path from hypervisor/src"
            elif (layer_of(file)[0], layer_of(file)[1]) != layer_of(name) and (
                layer_of(file)[0] <= layer_of(name)[0]
            ):
                yield f"{file} includes {name}, which is not below it"


def find_circle(graph: dict[str, list[str]]) -> list[str]:
    """Files that include one another in a circle, or nothing."""
    done: set[str] = set()

    def visit(file: str, path: list[str]) -> list[str]:
        if file in path:
            return [*path[path.index(file) :], file]
        if file in done:
            return []
        for name in graph.get(file, []):
            if circle := visit(name, [*path, file]):
                return circle
        done.add(file)
        return []

    return next((circle for file in graph if (circle := visit(file, []))), [])


def test_includes_go_down() -> None:
    graph = includes(SOURCE)
    assert len(graph) > 60  # it has found the core
    assert list(wrong_includes(graph)) == []


def test_no_circles() -> None:
    assert find_circle(includes(SOURCE)) == []


def test_a_folder_has_no_circle_through_two_files() -> None:
    """Not only files: no two folders include each other, but for core/main.cpp."""
    edges = {
        (layer_of(file)[1], layer_of(name)[1])
        for file, included in includes(SOURCE).items()
        for name in included
    }
    assert {(a, b) for a, b in edges if a != b and (b, a) in edges} == set()


@pytest.mark.parametrize(
    ("file", "text", "wrong"),
    [
        ("x86/a.hpp", '#include "core/vcpu.hpp"', "not below"),
        ("vmx/a.cpp", '#include "svm/svm.hpp"', "not below"),
        ("core/a.cpp", '#include "vmx/vmx.hpp"', "not below"),
        ("guest/a.cpp", '#include "emulate/b.hpp"', "not below"),
        ("guest/a.cpp", '#include "b.hpp"', "not a path"),
        ("core/main.cpp", '#include "vmx/vmx.hpp"', ""),
        ("vmx/a.cpp", '#include "emulate/b.hpp"\n#include "zpp/status.h"', ""),
    ],
)
def test_the_rule(tmp_path: Path, file: str, text: str, wrong: str) -> None:
    for name in ("core/vcpu.hpp", "emulate/b.hpp", "svm/svm.hpp", "vmx/vmx.hpp", "guest/b.hpp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text + "\n")
    found = list(wrong_includes(includes(tmp_path)))
    assert (len(found) == 1 and wrong in found[0]) if wrong else not found


def test_a_circle_is_found() -> None:
    graph = {"lib/a.hpp": ["lib/b.hpp"], "lib/b.hpp": ["lib/c.hpp"], "lib/c.hpp": ["lib/a.hpp"]}
    assert find_circle(graph) == ["lib/a.hpp", "lib/b.hpp", "lib/c.hpp", "lib/a.hpp"]
