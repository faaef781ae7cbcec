"""The tool's modules import in one direction only, without circles, and stay small."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_core_layers import find_circle

ROOT = Path(__file__).resolve().parents[2]
# From the bottom to the top: a module imports only from its own part and from layers below.
# The parts of one layer do not know each other.
LAYERS = (
    ("errors", "progress"),
    ("io",),
    ("formats", "devices"),
    ("inspect",),
    ("build", "render"),
    ("config",),
    ("verify", "flash", "emulator", "debug", "doctor", "client"),
    ("edit", "install"),
    ("__init__",),  # the public API
    ("cli",),
    ("__main__",),
)
PUBLIC_API = "__init__"  # its functions import what they need, so that it is cheap to import
EVERYWHERE = "__version__"  # what every module may import from the public API
# Imports inside functions: libraries that are slow to load, and modules of one operating system.
DEFERRED = {
    "cryptography", "difflib", "fcntl", "lief", "pefile", "pyfatfs", "pyudev", "termios",
    "tomllib", "tty", "zstandard", "devices.linux", "devices.macos", "devices.windows",
    "edit.device", "flash.device",
}  # fmt: skip
LIMIT = 400  # lines
SOURCES = {".py", ".c", ".h", ".cpp", ".hpp", ".S", ".nasm"}
# Longer than LIMIT: why each is still one file.
LONG_FILES = {
    "tests/guest/linux/kernels.py": "fetches kernels, builds for them, and makes guests of them",
    "tests/guest/ZppTestPkg/ZppRollbackTest/ZppRollbackTest.c": "one test, step by step",
    "tests/host/test_decode.cpp": "half of it is one table of instructions and their encodings",
    "tests/host/test_loader.cpp": "every failure of one call, on one fake machine",
    "tests/host/test_nested_paging.cpp": "the tests share an oracle of memory types",
    "tests/host/test_svm_events.cpp": "the tests share a CPU and the VMCB of its guest",
    "tests/host/test_startup.cpp": "the tests share a machine whose CPUs are threads",
    "tests/unit/test_windows_entry.py": "the tests share an emulated Windows kernel",
}


@dataclass(frozen=True, slots=True)
class Import:
    """`name` of the module `source`, imported by `module`; both are named without the package."""

    module: str
    source: str
    name: str
    line: int
    is_deferred: bool  # done when a function is called

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.source}"


def read_tree(root: Path) -> dict[str, str]:
    """The text of each module of the package in `root`."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): path.read_text()
        for path in sorted(root.rglob("*.py"))
    }


def find_imports(tree: Mapping[str, str], package: str) -> list[Import]:
    """Every import of every module, those inside functions and of foreign modules too."""
    return [
        Import(module, *resolve(words, tree, package), line, is_deferred)
        for module, text in tree.items()
        for words, line, is_deferred in statements(ast.parse(text), is_deferred=False)
    ]


def statements(node: ast.AST, is_deferred: bool) -> Iterator[tuple[str, int, bool]]:
    """The dotted names that are imported below `node`, the lines, and whether that is deferred."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import():
                yield from ((alias.name, child.lineno, is_deferred) for alias in child.names)
            case ast.ImportFrom():
                assert child.level == 0, "a relative import"
                for alias in child.names:
                    yield f"{child.module}.{alias.name}", child.lineno, is_deferred
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from statements(child, is_deferred=True)
            case _:
                yield from statements(child, is_deferred)


def resolve(words: str, tree: Mapping[str, str], package: str) -> tuple[str, str]:
    """The module and the name in it; a foreign module keeps its first word alone."""
    first, _, rest = words.partition(".")
    if first != package:
        return first, rest
    parts = rest.split(".") if rest else []
    for end in range(len(parts), -1, -1):
        for module in (".".join(parts[:end]), ".".join([*parts[:end], "__init__"])):
            if module in tree:
                return module, ".".join(parts[end:])
    raise AssertionError(f"{words}: no such module")


def layer_of(module: str) -> tuple[int, str]:
    part = module.partition(".")[0]
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number, part
    raise AssertionError(f"{module} is in no layer: put its folder into LAYERS")


def wrong_imports(imports: Iterable[Import], tree: Mapping[str, str]) -> Iterator[str]:
    """Imports from the same layer's other parts, and from layers above."""
    for found in imports:
        if found.source not in tree or (found.source, found.name) == ("__init__", EVERYWHERE):
            continue
        (layer, part), (source_layer, source) = layer_of(found.module), layer_of(found.source)
        if part != source and layer <= source_layer:
            yield f"{found}, which is not below it"


def wrongly_deferred(imports: Iterable[Import]) -> Iterator[str]:
    for found in imports:
        if found.is_deferred and found.source not in DEFERRED and found.module != PUBLIC_API:
            yield f"{found} inside a function: only {', '.join(sorted(DEFERRED))} may be"


def fork(ours: list[str], theirs: list[str]) -> tuple[str, str, str]:
    """The folder that both modules are in, and the file or folder in it that leads to each."""
    depth = next((n for n, part in enumerate(ours) if part != theirs[n]), len(ours) - 1)
    return ".".join(ours[:depth]), ours[depth], theirs[depth]


def find_circles(imports: Iterable[Import], tree: Mapping[str, str]) -> list[str]:
    """Circles in any folder: among its files and its folders, each taken as one."""
    folders: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for found in imports:
        if found.source in tree and (found.source, found.name) != ("__init__", EVERYWHERE):
            folder, ours, theirs = fork(found.module.split("."), found.source.split("."))
            folders[folder][ours].append(theirs)
    return [
        f"{folder or 'the root'}: {' → '.join(circle)}"
        for folder, graph in folders.items()
        if (circle := find_circle(graph))
    ]


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    return read_tree(ROOT / "efi_image")


@pytest.fixture(scope="module")
def imports(tree: dict[str, str]) -> list[Import]:
    found = find_imports(tree, "efi_image")
    assert len(found) > 500  # it has read the package
    return found


def test_imports_go_down(imports: list[Import], tree: dict[str, str]) -> None:
    assert list(wrong_imports(imports, tree)) == []


def test_no_circles(imports: list[Import], tree: dict[str, str]) -> None:
    assert find_circles(imports, tree) == []


def test_imports_inside_functions(imports: list[Import]) -> None:
    assert list(wrongly_deferred(imports)) == []


@pytest.mark.parametrize(
    ("module", "text", "wrong"),
    [
        ("io.sink", "from zpp.formats.fat import Fat", "io.sink:1 imports formats.fat"),
        ("flash.plan", "def f():\n    from zpp.emulator import boot", "emulator.__init__"),
        ("config.options", "import zpp.verify.rules", "verify.rules"),
        ("render.text", "from zpp.build import image", "build.image"),
        ("verify.rules", "from zpp import make", "verify.rules:1 imports __init__"),
        ("formats.fat", "from zpp import __version__\nfrom zpp.io.sink import Sink", ""),
        ("__init__", "from zpp.build.image import build as make", ""),
        ("cli.run", "import json, zpp.verify.rules\nfrom zpp.emulator import boot", ""),
    ],
)
def test_the_rule_of_layers(module: str, text: str, wrong: str) -> None:
    modules = (
        "__init__",
        "io.sink",
        "formats.fat",
        "build.image",
        "verify.rules",
        "emulator.__init__",
    )
    tree = {**dict.fromkeys(modules, ""), module: text}
    found = list(wrong_imports(find_imports(tree, "zpp"), tree))
    assert (len(found) == 1 and wrong in found[0]) if wrong else not found


def test_circles_of_files_and_of_folders() -> None:
    tree = {
        "errors": "", "io.a": "from zpp.io import b", "io.b": "import zpp.io.c, zpp.errors",
        "io.c": "def f():\n    from zpp.io.a import A",
        "formats.fat.x": "import zpp.formats.gpt.x", "formats.gpt.x": "", "formats.fat.y": "",
        "formats.gpt.y": "import zpp.formats.fat.y",
    }  # fmt: skip
    assert find_circles(find_imports(tree, "zpp"), tree) == [
        "io: a → b → c → a",
        "formats: fat → gpt → fat",
    ]


def test_the_rule_of_deferred_imports() -> None:
    text = (
        "import json\ndef f():\n    import lief, json\n    class A:\n        from zpp import errors"
    )
    tree = {"errors": "", "io": text}
    found = [line.partition(" inside")[0] for line in wrongly_deferred(find_imports(tree, "zpp"))]
    assert found == ["io:3 imports json", "io:5 imports errors"]


# ---- size


def long_files(root: Path) -> set[str]:
    """The source files of the repository with more than LIMIT lines."""
    folders = [path for path in root.iterdir() if path.name != "out" and path.name[0] != "."]
    return {
        str(path.relative_to(root))
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in SOURCES and path.read_bytes().count(b"\n") > LIMIT
    }


def test_files_are_short() -> None:
    assert long_files(ROOT) == set(LONG_FILES)
    assert all(LONG_FILES.values())
