"""Slots go to those who wait in the order in which they came, and are never lost."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import weakref
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support_faulty_server import Fault, FaultyServer
from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib._http import slots as slots_module
from upgrade_client_lib._http.async_slots import AsyncSlots
from upgrade_client_lib._http.slots import Lease, PoolIsFullError, SyncSlots

LONG = 30.0
SHORT = 0.05


class Interrupt(BaseException):
    """What a signal handler raises."""


# ---- Fairness ----


def answer_after_5_ms(connection: socket.socket, answer: bytes) -> bool:
    time.sleep(0.005)
    connection.sendall(answer)
    return True


SLOW = Fault(answer_after_5_ms)
CALLERS = 6
CALLS = 40


def test_no_thread_starves_while_others_call() -> None:
    def call(caller: int) -> None:
        client = connection.client(f"user-{caller}", "my-app")
        all_are_there.wait()
        while len(done) < CALLERS * CALLS:
            client.init_sync()
            done.append(caller)

    done: list[int] = []
    all_are_there = threading.Barrier(CALLERS)
    with (
        FaultyServer(init=SLOW) as server,
        UpgradeConnection(server.url, max_connections=4) as connection,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        list(threads.map(call, range(CALLERS)))

    assert min(done.count(caller) for caller in range(CALLERS)) > CALLS / 2


def test_no_task_starves_while_others_call() -> None:
    async def scenario() -> None:
        async def call(caller: int) -> None:
            client = connection.client(f"user-{caller}", "my-app")
            while len(done) < CALLERS * CALLS:
                await client.init()
                done.append(caller)

        async with UpgradeConnection(server.url, max_connections=4) as connection:
            await asyncio.gather(*(call(caller) for caller in range(CALLERS)))

    done: list[int] = []
    with FaultyServer(init=SLOW) as server:
        asyncio.run(scenario())

    assert min(done.count(caller) for caller in range(CALLERS)) > CALLS / 2


# ---- Threads ----


@contextmanager
def waiting(slots: SyncSlots, count: int) -> Generator[list[str], None, None]:
    """Have threads wait in the queue, in the order of their names, who tell of their turns."""

    def wait(name: str) -> None:
        lease = slots.acquire(LONG)
        turns.append(name)
        slots.release(lease)

    turns: list[str] = []
    threads = [threading.Thread(target=wait, args=(str(name),)) for name in range(count)]
    for place, thread in enumerate(threads, start=1):
        thread.start()
        wait_until_in_queue(slots, place)
    try:
        yield turns
    finally:
        for thread in threads:
            thread.join(LONG)


def wait_until_in_queue(slots: SyncSlots, count: int) -> None:
    queue = slots._queue  # pyright: ignore[reportPrivateUsage]
    pause = threading.Event()
    assert any(len(queue) >= count or pause.wait(0.001) for _ in range(10_000))


def test_threads_have_their_turns_in_the_order_in_which_they_came() -> None:
    slots = SyncSlots(1)
    lease = slots.acquire(0)
    with waiting(slots, 5) as turns:
        slots.release(lease)

    assert turns == ["0", "1", "2", "3", "4"]


def test_a_thread_does_not_pass_by_those_who_wait() -> None:
    slots = SyncSlots(1)
    lease = slots.acquire(0)
    with waiting(slots, 3) as turns:
        slots.release(lease)
        slots.acquire(LONG)
        assert turns == ["0", "1", "2"]


def test_a_thread_that_gives_up_leaves_the_queue() -> None:
    slots = SyncSlots(1)
    lease = slots.acquire(0)
    with pytest.raises(PoolIsFullError, match="all 1 are in use"):
        slots.acquire(SHORT)
    slots.release(lease)

    assert slots.acquire(0) is not lease


def test_a_thread_that_is_interrupted_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        """A lock that a signal handler interrupts while it is waited for."""

        def acquire(self, timeout: float = -1) -> bool:
            if timeout >= 0:
                raise Interrupt
            return True

        def locked(self) -> None:
            """Nobody waits any more."""

    slots = SyncSlots(1)
    lease = slots.acquire(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", Interrupted)
        with pytest.raises(Interrupt):
            slots.acquire(LONG)
    slots.release(lease)

    slots.acquire(0)


def test_a_waiter_that_an_interrupt_left_in_the_queue_is_passed_over() -> None:
    slots = SyncSlots(1)
    slots._queue.append(weakref.ref(slots_module._Waiter()))  # pyright: ignore[reportPrivateUsage]

    slots.acquire(0)


def test_a_lease_that_a_thread_dropped_frees_its_slot() -> None:
    slots = SyncSlots(2)
    dropped: list[Lease] = [slots.acquire(0), slots.acquire(0)]
    with pytest.raises(PoolIsFullError):
        slots.acquire(0)
    del dropped[0]

    slots.acquire(0)


def test_a_waiting_thread_notices_a_lease_that_was_dropped() -> None:
    slots = SyncSlots(1)
    dropped = [slots.acquire(0)]
    with waiting(slots, 1) as turns:
        dropped.clear()

    assert turns == ["0"]


def test_a_signal_handler_may_call_while_its_thread_acquires_a_slot() -> None:
    slots = SyncSlots(2)
    with slots._lock:  # pyright: ignore[reportPrivateUsage]
        slots.release(slots.acquire(0))


# ---- Tasks ----


def test_tasks_have_their_turns_in_the_order_in_which_they_came() -> None:
    async def scenario() -> list[int]:
        async def take(number: int) -> None:
            slots.release(await slots.acquire(LONG))
            turns.append(number)

        slots, turns = AsyncSlots(1), list[int]()
        lease = await slots.acquire(0)
        tasks = [asyncio.ensure_future(take(number)) for number in range(5)]
        await asyncio.sleep(0)
        slots.release(lease)
        await asyncio.gather(*tasks)
        return turns

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4]


def test_a_task_that_gives_up_leaves_the_queue() -> None:
    async def scenario() -> None:
        slots = AsyncSlots(1)
        lease = await slots.acquire(0)
        with pytest.raises(PoolIsFullError, match="all 1 are in use"):
            await slots.acquire(SHORT)
        slots.release(lease)
        await slots.acquire(0)

    asyncio.run(scenario())


def test_a_task_that_is_cancelled_leaves_the_queue() -> None:
    async def scenario() -> None:
        slots = AsyncSlots(1)
        lease = await slots.acquire(0)
        cancelled = asyncio.ensure_future(slots.acquire(LONG))
        other = asyncio.ensure_future(slots.acquire(LONG))
        await asyncio.sleep(0)
        cancelled.cancel()
        slots.release(lease)
        await asyncio.wait([cancelled])
        await asyncio.wait_for(other, SHORT)

    asyncio.run(scenario())


def test_a_task_that_is_cancelled_as_its_turn_comes_passes_it_on_to_the_next() -> None:
    async def scenario() -> None:
        slots = AsyncSlots(1)
        lease = await slots.acquire(0)
        cancelled = asyncio.ensure_future(slots.acquire(LONG))
        other = asyncio.ensure_future(slots.acquire(LONG))
        await asyncio.sleep(0)
        slots.release(lease)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        await asyncio.wait_for(other, LONG / 10)

    asyncio.run(scenario())


def test_the_next_to_acquire_a_slot_notices_a_lease_that_was_dropped() -> None:
    async def scenario() -> None:
        slots = AsyncSlots(1)
        dropped = [await slots.acquire(0)]
        first = asyncio.ensure_future(slots.acquire(LONG))
        await asyncio.sleep(0)
        dropped.clear()
        second = asyncio.ensure_future(slots.acquire(LONG))
        slots.release(await first)
        await second

    asyncio.run(scenario())


def test_a_task_whose_time_is_over_as_its_turn_comes_has_it() -> None:
    async def scenario() -> None:
        slots = AsyncSlots(1)
        lease = await slots.acquire(0)
        waiting = asyncio.ensure_future(slots.acquire(SHORT))
        await asyncio.sleep(0)
        slots.release(lease)
        time.sleep(2 * SHORT)
        assert isinstance(await waiting, Lease)

    asyncio.run(scenario())


def test_a_lease_that_a_task_dropped_frees_its_slot() -> None:
    async def scenario() -> None:
        slots = AsyncSlots(2)
        dropped = [await slots.acquire(0), await slots.acquire(0)]
        with pytest.raises(PoolIsFullError):
            await slots.acquire(0)
        dropped.clear()
        await slots.acquire(0)

    asyncio.run(scenario())


def test_an_event_loop_that_was_closed_with_calls_in_flight_wakes_none_of_them() -> None:
    async def begin() -> None:
        leases.append(await slots.acquire(0))
        tasks.append(asyncio.ensure_future(slots.acquire(LONG)))
        await asyncio.sleep(0)

    slots, leases, tasks = AsyncSlots(1), list[Lease](), list["asyncio.Future[Lease]"]()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()

    slots.release(leases[0])

    assert not tasks[0].done()
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]
