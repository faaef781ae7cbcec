"""The threads that write: order, errors, and signals while it is waited for."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial

import pytest

from efi_image.flash.deferred_signals import undisturbed
from efi_image.flash.worker_pool import BUFFERS, WORKERS, Lane


def ignore(_result: object) -> None:
    """What is done with a result that is of no use."""


def test_results_come_in_the_order_of_the_jobs() -> None:
    """However long each takes; the jobs run elsewhere, and what is done with a result here."""
    main = threading.current_thread()
    done: list[tuple[int, bool]] = []
    second = threading.Event()

    def job(number: int) -> tuple[int, bool]:
        if number == 1:
            second.set()
        elif number == 0:
            assert second.wait(60)  # the first ends after the second has begun
        return number, threading.current_thread() is main

    def note(result: tuple[int, bool]) -> None:
        assert threading.current_thread() is main
        done.append(result)

    with Lane() as lane:
        for number in range(40):
            lane.submit(partial(job, number), note)
        lane.drain()
    assert done == [(number, False) for number in range(40)]


def test_buffers_come_back_when_their_jobs_are_done() -> None:
    with Lane() as lane:
        seen = set()
        for _ in range(5 * BUFFERS):
            buffer = lane.buffer()
            seen.add(id(buffer))
            lane.submit(lambda: None, ignore, buffer)
        lane.drain()
    assert len(seen) <= BUFFERS


def test_nothing_is_begun_after_an_error() -> None:
    """A medium that failed is not written on; and who asks again is told again."""
    done: list[int] = []
    started, may_fail = threading.Barrier(WORKERS + 1), threading.Event()

    def fails() -> None:
        started.wait(60)
        may_fail.wait(60)
        raise OSError(5, "fails")

    with Lane() as lane:
        for _ in range(WORKERS):
            lane.submit(fails, ignore)
        started.wait(60)
        lane.submit(lambda: done.append(1), ignore)
        may_fail.set()
        for _ in range(2):
            with pytest.raises(OSError, match="fails"):
                lane.drain()
        lane.submit(lambda: done.append(2), ignore)
    assert not done


def test_what_was_begun_before_an_error_is_done() -> None:
    done: list[str] = []
    failed = threading.Event()

    def slow() -> str:
        assert failed.wait(60)
        return "slow"

    def fails() -> None:
        failed.set()
        raise OSError(5, "fails")

    with Lane() as lane:
        lane.submit(slow, done.append)
        lane.submit(fails, ignore)
        with pytest.raises(OSError, match="fails"):
            lane.drain()
    assert done == ["slow"]


def test_jobs_that_wait_are_dropped() -> None:
    done: list[int] = []
    running, may_end = threading.Barrier(WORKERS + 1), threading.Event()

    def first() -> None:
        running.wait(60)
        may_end.wait()
        done.append(1)

    def give_up(lane: Lane) -> None:
        for _ in range(WORKERS):
            lane.submit(first, ignore)
        lane.submit(lambda: done.append(2), ignore)
        running.wait(60)
        threading.Timer(0.05, may_end.set).start()
        raise InterruptedError

    with pytest.raises(InterruptedError), Lane() as lane:
        give_up(lane)
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

    def leave(lane: Lane) -> None:
        lane.submit(job, ignore)
        running.wait()
        threading.Thread(target=interrupt).start()

    with pytest.raises(KeyboardInterrupt), Lane() as lane:
        leave(lane)
    assert done == [1]


def test_a_signal_is_held_back() -> None:
    order = []
    before = signal.getsignal(signal.SIGINT)

    def short() -> None:
        signal.raise_signal(signal.SIGINT)
        order.append("done")

    with pytest.raises(KeyboardInterrupt), undisturbed():
        short()
    assert order == ["done"]
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_hold_nothing_back() -> None:
    seen = []

    def work() -> None:
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
