"""Long polls: calls that wait until a queue has a message for them.

A wait looks at what is on disk, so it is woken after a commit that touched its queue, and when the clock reaches the
time at which a message of the queue becomes visible. What a receive that is under way is going to take is claimed,
so that no other wait ends for the same message and comes back empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Callable, Iterable

from ...errors import StoreUnwritable
from ...storage.store import Store, Transaction
from ..engines import Engines
from . import messages, queues
from .common import Address, millis


class Claim:
    """Messages that a receive may take. It counts until the receive is known to be on disk, or its call has ended."""

    __slots__ = ("__weakref__", "applied", "count", "settled")

    def __init__(self, count: int) -> None:
        self.count = count
        self.applied = False
        self.settled = False


class Lobby:
    """The waits of one store."""

    def __init__(self, store: Store) -> None:
        self._store = weakref.ref(store)
        self._touched: deque[Address] = deque()
        self._waits: dict[Address, dict[int, asyncio.Future[None]]] = {}
        self._claims: dict[Address, weakref.WeakSet[Claim]] = {}
        self._numbers = 0
        store.on_commit(self._committed)

    def touch(self, address: Address) -> None:
        """Something changed that a wait may wait for. Called in the writer, before the change is on disk."""
        if address in self._waits:
            self._touched.append(address)

    def claim(self, address: Address, count: int) -> Claim:
        """The claim stands no longer than whoever holds it."""
        claim = Claim(count)
        self._claims.setdefault(address, weakref.WeakSet()).add(claim)
        return claim

    def _claimed(self, address: Address) -> int:
        return sum(claim.count for claim in self._claims.get(address, ()) if not claim.settled)

    def _committed(self) -> None:
        store = self._store()
        if not self._touched or store is None:
            return
        touched: set[Address] = set()
        while self._touched:
            touched.add(self._touched.popleft())
        applied = [claim for address in touched for claim in self._claims.get(address, ()) if claim.applied]
        self._wake(touched)

        # What touched the queue may be part of a later group than this one: behind it, once more.
        def on_disk(done: asyncio.Future[None]) -> None:
            if not done.cancelled():
                done.exception()
            for claim in applied:
                claim.settled = True
            self._wake(touched)

        store.submit(_nothing).add_done_callback(on_disk)

    def _wake(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            for waiting in self._waits.get(address, {}).values():
                if not waiting.done():
                    waiting.set_result(None)

    async def wait(self, engines: Engines, address: Address, seconds: int) -> None:
        """Return when the queue has a message that nobody has claimed, at the latest after so many seconds."""
        deadline = millis(engines.clock.time()) + seconds * 1000
        if self._settled(engines, address, deadline):
            return
        self._numbers += 1
        number = self._numbers
        waits = self._waits.setdefault(address, {})
        waits[number] = asyncio.get_running_loop().create_future()
        try:
            # What was being written when the wait began has not seen it.
            await engines.store.submit(_nothing)
            while not self._settled(engines, address, deadline):
                if await self._tidy(engines, address):
                    continue
                await self._until_woken(engines, address, number, deadline)
        finally:
            del waits[number]
            if not waits and self._waits.get(address) is waits:
                del self._waits[address]

    def _settled(self, engines: Engines, address: Address, deadline: int) -> bool:
        now, reader = millis(engines.clock.time()), engines.store.read
        queue = queues.existing(reader, address)
        claimed = self._claimed(address)
        return now >= deadline or messages.deliverable(reader, queue, now, claimed + 1) > claimed

    async def _tidy(self, engines: Engines, address: Address) -> bool:
        """Move dead letters and drop what has expired: they would end the wait, and leave it empty."""
        now, reader = millis(engines.clock.time()), engines.store.read
        if not messages.untidy(reader, queues.existing(reader, address), now):
            return False

        def tidy(tx: Transaction) -> None:
            queue = queues.find(tx, address)
            if queue is not None:
                messages.ready(tx, queue, now, messages.MOST_AT_ONCE)
                if queue.redrive is not None:
                    self.touch(queue.redrive.target)

        await engines.store.submit(tidy)
        return True

    async def _until_woken(self, engines: Engines, address: Address, number: int, deadline: int) -> None:
        now, reader, store = millis(engines.clock.time()), engines.store.read, engines.store
        waiting = self._waits[address][number]
        if not waiting.done():
            change = messages.next_change(reader, queues.existing(reader, address), now)

            async def ring() -> None:
                """Wake the wait, and return when what it does at this time is on disk, also where time is driven."""
                if not waiting.done():
                    waiting.set_result(None)
                for _ in range(2):
                    await asyncio.sleep(0)
                    with contextlib.suppress(StoreUnwritable):
                        await store.submit(_nothing)

            timer = engines.clock.at(min(deadline, change or deadline) / 1000, ring)
            try:
                await waiting
            finally:
                timer.cancel()
        self._waits[address][number] = asyncio.get_running_loop().create_future()


def _nothing(tx: Transaction) -> None:
    pass


_lobbies: weakref.WeakKeyDictionary[Store, Lobby] = weakref.WeakKeyDictionary()


_starters: list[Callable[[Engines], None]] = []


def at_first_use(starter: Callable[[Engines], None]) -> Callable[[Engines], None]:
    """Call it when a store's queues are used for the first time in this process."""
    _starters.append(starter)
    return starter


def lobby_of(engines: Engines) -> Lobby:
    lobby = _lobbies.get(engines.store)
    if lobby is None:
        lobby = _lobbies[engines.store] = Lobby(engines.store)
        for starter in _starters:
            starter(engines)
    return lobby
