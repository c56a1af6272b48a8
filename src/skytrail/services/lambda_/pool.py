"""The workers of all functions: who runs an event, how many run at one time, who is kept warm."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import Counter
from typing import Any

from ...errors import ServiceError
from ..engines import Engines
from . import addresses, codes, concurrency, functions, tags
from .common import refused
from .functions import RESERVED
from .invocations import Invocation, Result
from .naming import Target
from .worker import Worker

#: Idle workers are kept so long, and so many of them.
IDLE_SECONDS, MOST_IDLE = 300.0, 32
REAP_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Pool:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        #: Least recently used first.
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        #: Invocations that run, by function, and by account and Region of functions without a share of their own.
        self._running: Counter[str] = Counter()
        self._unreserved: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, invocation: Invocation) -> Result:
        """TooManyRequestsException where there is no room. What has begun goes on, also if nobody waits any more."""
        if self._closed:
            raise refused("ServiceException", "The server is stopping.", status=503)
        task = asyncio.get_running_loop().create_task(self._run(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._ran)
        return await asyncio.shield(task)

    def _ran(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits is told; perhaps nobody does any more

    async def _run(self, invocation: Invocation) -> Result:
        target = invocation.target
        release = self._admit(target)
        try:
            url = tags.address_of(self._engines.store.read, target)
            if url is not None:
                return await addresses.invoke(self._engines, url, invocation)
            return await self._work(invocation)
        finally:
            release()

    def _admit(self, target: Target) -> Any:
        reader, most = self._engines.store.read, self._engines.settings.functions.concurrency
        share = reader.get(RESERVED, target.account, target.region, target.name)
        place = (target.account, target.region)
        if share is not None:
            if self._running[target.arn] >= share:
                raise _throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        elif self._unreserved[place] >= most - concurrency.reserved(reader, *place):
            raise _throttled("ConcurrentInvocationLimitExceeded")
        if sum(self._running.values()) >= most:
            raise _throttled("ConcurrentInvocationLimitExceeded")
        self._running[target.arn] += 1
        if share is None:
            self._unreserved[place] += 1

        def release() -> None:
            self._running[target.arn] -= 1
            if share is None:
                self._unreserved[place] -= 1
            self._running, self._unreserved = +self._running, +self._unreserved

        return release

    async def _work(self, invocation: Invocation) -> Result:
        worker = self._take(invocation)
        self._busy.add(worker)
        try:
            return await worker.invoke(invocation)
        finally:
            self._busy.discard(worker)
            if worker.usable and not self._closed:
                worker.idle_since = self._engines.clock.time()
                self._idle.append(worker)
                self._trim()
            else:
                await self._close(worker)

    def _take(self, invocation: Invocation) -> Worker:
        """A warm one of just this version, the one that was used last; else a new one."""
        revision, arn = invocation.version.revision, invocation.target.arn
        for worker in reversed(self._idle):
            if worker.version.revision == revision and worker.target.arn == arn and worker.usable:
                self._idle.remove(worker)
                return worker
        return Worker(self._engines, invocation.target, invocation.version)

    def _trim(self) -> None:
        for worker in self._idle[: max(0, len(self._idle) - MOST_IDLE)]:
            self._idle.remove(worker)
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        task = asyncio.get_running_loop().create_task(self._close(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self, worker: Worker) -> None:
        try:
            await worker.close()
        except Exception:
            _log.exception("a process of %s could not be closed", worker.target.arn)

    # Tidying

    def codes(self) -> set[str]:
        """The archives that processes run from."""
        return {worker.version.code.id for worker in (*self._idle, *self._busy)}

    async def reap(self) -> None:
        """End the processes that have been idle for long, and those whose version is there no more."""
        now = self._engines.clock.time()
        for worker in list(self._idle):
            if not (0 <= now - worker.idle_since < IDLE_SECONDS and worker.usable and self._current(worker)):
                self._idle.remove(worker)
                await self._close(worker)

    def _current(self, worker: Worker) -> bool:
        reader, target = self._engines.store.read, worker.target
        function = functions.find(reader, target)
        if function is None:
            return False
        label = worker.version.label
        version = functions.numbered(reader, target, label) if worker.version.number else function.latest
        return version is not None and version.revision == worker.version.revision

    async def sweep(self) -> None:
        await codes.sweep(self._engines, self.codes)

    async def close(self) -> None:
        self._closed = True
        await self.empty()
        _pools.pop(self._engines.store, None)

    async def empty(self) -> None:
        """End every process; what runs is cut."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        workers, self._idle = self._idle, []
        await asyncio.gather(*(self._close(worker) for worker in workers))


def _throttled(reason: str) -> ServiceError:
    return refused("TooManyRequestsException", "Rate Exceeded.", Reason=reason)


_pools: weakref.WeakKeyDictionary[Any, Pool] = weakref.WeakKeyDictionary()


def pool_of(engines: Engines) -> Pool:
    pool = _pools.get(engines.store)
    if pool is None:
        pool = _pools[engines.store] = Pool(engines)
    return pool
