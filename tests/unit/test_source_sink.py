"""Reading input files and writing the image: what goes wrong is said, holes stay holes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efi_image.errors import InputError, OutputError
from efi_image.io.sink import Sink
from efi_image.io.source import CHUNK, BytesSource, FileSource


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_sources_give_all_bytes(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "a"
    path.write_bytes(data)
    for source in (FileSource.open(path), BytesSource("a", data)):
        assert source.size == size
        assert b"".join(bytes(chunk) for chunk in source.chunks()) == data
        for offset, count in ((0, 10), (max(0, size - 3), 10), (size // 2, CHUNK)):
            assert source.read_at(offset, count) == data[offset : offset + count]


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, what in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "is a directory"),
        (fifo, "is not a regular file"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path / "a\0b", "cannot be read: its name contains a NUL"),
        (Path("/dev/null/x"), "cannot be read: Not a directory"),
    ):
        with pytest.raises(InputError, match=what):
            FileSource.open(path)


def test_changed_files_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    source = FileSource.open(path)
    path.write_bytes(b"more than one")
    with pytest.raises(InputError, match="changed while it was used"):
        list(source.chunks())
    path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        list(source.chunks())


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(3 * CHUNK))
    chunks = FileSource.open(path).chunks()
    next(chunks)
    os.truncate(path, CHUNK + 10)
    with pytest.raises(InputError, match="became shorter"):
        list(chunks)


PIECES = st.lists(
    st.one_of(st.binary(max_size=2000), st.integers(0, 5000).map(lambda n: n)), max_size=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PIECES)
def test_sink_writes_what_it_is_given(tmp_path: Path, pieces: list[bytes | int]) -> None:
    expected = b"".join(p if isinstance(p, bytes) else bytes(p) for p in pieces)
    path = tmp_path / "out"
    with path.open("wb") as file:
        sink = Sink(file.fileno(), "out")
        for piece in pieces:
            sink.write(piece) if isinstance(piece, bytes) else sink.skip(piece)
        assert sink.position == len(expected)
        digest = sink.finish()
    assert path.read_bytes() == expected
    assert digest == hashlib.sha256(expected).hexdigest()


def test_sink_leaves_holes_and_can_do_without_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("wb") as file:
        sink = Sink(file.fileno(), "out", digest=False)
        sink.write(bytes(1 << 20))
        sink.skip_to(1 << 40)
        sink.write(b"end")
        assert sink.finish() == ""
    assert path.stat().st_size == (1 << 40) + 3
    assert path.stat().st_blocks < 1000


@pytest.mark.slow
@pytest.mark.parametrize("by_kernel", [True, False])
@pytest.mark.parametrize("digest", [True, False])
@pytest.mark.parametrize("start", [0, 7, 4096])
def test_copies_of_files_with_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, digest: bool, by_kernel: bool
) -> None:
    """By the kernel or not: the same bytes, and what was a hole stays one."""
    if not by_kernel:
        monkeypatch.delattr(os, "copy_file_range")
    sources = []
    for number, size in enumerate((0, 1, 5000, 3 << 20, 40 << 20)):
        path = tmp_path / f"source{number}"
        path.write_bytes(os.urandom(size // 2))
        os.truncate(path, size)
        sources.append(FileSource.open(path))
    told: list[int] = []
    target = tmp_path / "out"
    with target.open("wb") as file:
        sink = Sink(file.fileno(), "out", digest=digest)
        sink.progress = told.append
        sink.write(b"s" * start)
        digests = [sink.copy(source) for source in sources]
        sink.finish()
    expected = [Path(source.name).read_bytes() for source in sources]
    assert target.read_bytes() == b"".join([b"s" * start, *expected])
    assert digests == [hashlib.sha256(data).hexdigest() if digest else "" for data in expected]
    assert sum(told) == sum(source.size for source in sources)
    assert target.stat().st_blocks * 512 < 23 << 20


def test_files_that_shrink_before_they_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    for size in (1000, 1 << 20):
        path.write_bytes(b"x" * size)
        source = FileSource.open(path)
        descriptor = source.descriptor()
        os.truncate(path, 500)
        with monkeypatch.context() as patch, (tmp_path / "out").open("wb") as file:
            patch.setattr(FileSource, "descriptor", lambda _self, fd=descriptor: os.dup(fd))
            with pytest.raises(InputError, match="became shorter"):
                Sink(file.fileno(), "out", digest=False).copy(source)
        os.close(descriptor)


def test_sink_never_goes_back(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        sink = Sink(file.fileno(), "out")
        sink.skip(10)
        with pytest.raises(ValueError, match="cannot go back"):
            sink.skip_to(9)


def test_full_disk_is_an_output_error(tmp_path: Path) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        sink = Sink(descriptor, "big.img")
        sink.write(b"x" * 100)
        with pytest.raises(OutputError, match="big\\.img: cannot be written: No space left"):
            sink.finish()
        path = tmp_path / "a"
        path.write_bytes(b"x" * 5_000_000)
        with pytest.raises(OutputError, match="big\\.img: cannot be written: No space left"):
            Sink(descriptor, "big.img", digest=False).copy(FileSource.open(path))
    finally:
        os.close(descriptor)


def test_a_file_with_content_but_no_size_is_refused() -> None:
    with pytest.raises(InputError, match="content but no size; copy it"):
        FileSource.open("/proc/self/status")


def test_a_fifo_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    source = FileSource.open(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="changed while it was used"):
        source.read_at(0, 1)


def test_all_of_a_file_that_is_given_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some file systems in user space give it."""
    whole = os.preadv

    def some(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return whole(descriptor, [buffers[0][:7]], offset)

    monkeypatch.setattr(os, "preadv", some)
    (tmp_path / "a").write_bytes(bytes(range(100)))
    assert FileSource.open(tmp_path / "a").read_at(0, 200) == bytes(range(100))
