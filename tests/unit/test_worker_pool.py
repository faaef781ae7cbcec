"""The threads that write: order, errors, and signals while they are waited for."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial

import pytest

from efi_image.flash.chunker import PIECE
from efi_image.flash.worker_pool import BUFFERS, WORKERS, WorkerPool
from efi_image.io.deferred_signals import deferred_signals


def test_results_come_in_the_order_of_the_jobs() -> None:
    """However long each takes; the jobs run elsewhere."""
    main = threading.current_thread()
    second = threading.Event()

    def job(number: int) -> tuple[int, bool]:
        if number == 1:
            second.set()
        elif number == 0:
            assert second.wait(60)  # the first ends after the second has begun
        return number, threading.current_thread() is main

    done: list[tuple[int, bool]] = []
    with WorkerPool[tuple[int, bool]]() as pool:
        for number in range(40):
            pool.submit(partial(job, number))
            done += pool.results()
        done += pool.drain()
    assert done == [(number, False) for number in range(40)]


def test_each_item_gets_a_buffer() -> None:
    with WorkerPool[int]() as pool:
        assert list(pool.map(lambda item, buffer: item * len(buffer), range(9))) == [
            number * PIECE for number in range(9)
        ]


def test_buffers_come_back_when_their_jobs_are_done() -> None:
    with WorkerPool[None]() as pool:
        seen = set()
        for _ in range(5 * BUFFERS):
            buffer = pool.buffer()
            seen.add(id(buffer))
            pool.submit(lambda: None, buffer)
        assert len(list(pool.drain())) == 5 * BUFFERS
    assert len(seen) <= BUFFERS


def test_nothing_is_begun_after_an_error() -> None:
    """A medium that failed is not written on; and who asks again is told again."""
    done: list[int] = []
    started, may_fail = threading.Barrier(WORKERS + 1), threading.Event()

    def fails() -> None:
        started.wait(60)
        may_fail.wait(60)
        raise OSError(5, "fails")

    with WorkerPool[None]() as pool:
        for _ in range(WORKERS):
            pool.submit(fails)
        started.wait(60)
        pool.submit(lambda: done.append(1))
        may_fail.set()
        for _ in range(2):
            with pytest.raises(OSError, match="fails"):
                list(pool.drain())
        pool.submit(lambda: done.append(2))
    assert not done


def test_what_was_begun_before_an_error_is_done() -> None:
    failed = threading.Event()

    def slow() -> str:
        assert failed.wait(60)
        return "slow"

    def fails() -> str:
        failed.set()
        raise OSError(5, "fails")

    done: list[str] = []
    with WorkerPool[str]() as pool:
        pool.submit(slow)
        pool.submit(fails)
        with pytest.raises(OSError, match="fails"):
            done += pool.drain()
        done += pool.results()
    assert done == ["slow"]


def test_jobs_that_wait_are_dropped() -> None:
    done: list[int] = []
    running, may_end = threading.Barrier(WORKERS + 1), threading.Event()

    def first() -> None:
        running.wait(60)
        may_end.wait()
        done.append(1)

    def give_up(pool: WorkerPool[None]) -> None:
        for _ in range(WORKERS):
            pool.submit(first)
        pool.submit(lambda: done.append(2))
        running.wait(60)
        threading.Timer(0.05, may_end.set).start()
        raise InterruptedError

    with pytest.raises(InterruptedError), WorkerPool[None]() as pool:
        give_up(pool)
    assert done == [1] * WORKERS


def test_a_signal_does_not_end_the_wait_for_a_running_job() -> None:
    """The second Ctrl-C: while it runs, nobody may clear up what it writes."""
    done: list[int] = []
    running, may_end = threading.Event(), threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def job() -> None:
        running.set()
        may_end.wait()
        done.append(1)

    def interrupt() -> None:
        end = time.monotonic() + 60
        while signal.getsignal(signal.SIGINT) is before and time.monotonic() < end:
            time.sleep(0.001)  # until it waits
        if signal.getsignal(signal.SIGINT) is not before:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)  # time for the wait to end
        may_end.set()

    def leave(pool: WorkerPool[None]) -> None:
        pool.submit(job)
        running.wait()
        threading.Thread(target=interrupt).start()

    with pytest.raises(KeyboardInterrupt), WorkerPool[None]() as pool:
        leave(pool)
    assert done == [1]


def test_a_signal_is_held_back() -> None:
    order = []
    before = signal.getsignal(signal.SIGINT)

    def short() -> None:
        signal.raise_signal(signal.SIGINT)
        order.append("done")

    with pytest.raises(KeyboardInterrupt), deferred_signals():
        short()
    assert order == ["done"]
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_hold_nothing_back() -> None:
    seen = []

    def work() -> None:
        with deferred_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
