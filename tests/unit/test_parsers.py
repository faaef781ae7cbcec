"""Parsers of foreign data take any bytes: no other exception, no hang, bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import TARGETS, Target, refused

FUZZ = Path(__file__).parents[1] / "fuzz/fuzz.py"
MEMORY = 64 << 20
SECONDS = 20  # for one byte string; a hang, not a measurement

EDIT = st.tuples(
    st.one_of(st.integers(0, 0x3FF), st.integers(0, 1 << 20)),
    st.one_of(
        st.sampled_from([b"\0", b"\xff", b"\xff\xff\xff\xff", bytes(8)]), st.binary(max_size=8)
    ),
    st.booleans(),
)


@st.composite
def damaged(draw: st.DrawFn, target: Target) -> bytes:
    """A seed with some bytes overwritten or put in, and perhaps cut off."""
    data = bytearray(draw(st.sampled_from(target.seeds())))
    for offset, piece, insert in draw(st.lists(EDIT, max_size=12)):
        start = offset % (len(data) + 1)
        data[start : start if insert and len(data) < 1 << 16 else start + len(piece)] = piece
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@pytest.mark.parametrize("name", list(TARGETS))
def test_seeds_are_taken(name: str) -> None:
    """A target that refuses everything tests nothing."""
    target = TARGETS[name]
    assert [seed[:80] for seed in target.seeds() if refused(target, seed)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    with oracles.time_limit(SECONDS):
        refused(target, data.draw(st.binary(max_size=5000)))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damaged_bytes(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    with oracles.time_limit(SECONDS):
        refused(target, data.draw(damaged(target)))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
@settings(deadline=None, max_examples=10)
@given(st.data())
def test_memory_is_bounded(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    example = data.draw(damaged(target))
    tracemalloc.start()
    try:
        refused(target, example)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_a_short_run_of_the_fuzzer(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    result = subprocess.run(
        [sys.executable, FUZZ, name, str(corpus), "-runs=500", "-seed=1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Done 500 runs" in result.stderr
    with oracles.time_limit(SECONDS):  # a process of its own removes them
        while list(tmp_path.glob("zpp-fuzz-*")):
            time.sleep(0.01)
