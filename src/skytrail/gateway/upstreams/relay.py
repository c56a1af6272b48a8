"""An answer that is passed on as it comes. The client has it whole only when its record is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from ...errors import ServiceError

#: Told at the end: the error that the answer broke off with, or None.
End = Callable[[ServiceError | None], Awaitable[None]]


class Relay:
    """The pieces of an answer's body, once, in their order.

    `then` says what is to be done when they have all come, or will not come any more: before the last byte is given,
    where the length is known, and before the end is told, where it is not.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], length: int | None, close: Callable[[], None]) -> None:
        self._pieces = pieces
        #: A generator that was never begun does not close what it reads.
        self._close = close
        self.length = length
        #: Bytes given so far.
        self.passed = 0
        self._ends: list[End] = []
        self._ending: asyncio.Task[None] | None = None

    def then(self, end: End) -> None:
        self._ends.append(end)

    def __aiter__(self) -> Relay:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            await self._end(None)
            raise
        except ServiceError as error:
            await self._end(error)
            raise
        if self.length is not None and self.passed + len(piece) >= self.length:
            await self._end(None, passed=len(piece))
        else:
            self.passed += len(piece)
        return piece

    async def aclose(self) -> None:
        """Also where the client is gone: then nothing more is read from the upstream."""
        try:
            self._close()
            await self._pieces.aclose()
        finally:
            await self._end(None)

    async def _end(self, error: ServiceError | None, *, passed: int = 0) -> None:
        """Once; it goes on when the one who waits for it is cancelled."""
        if self._ending is None:
            self.passed += passed
            self._ending = asyncio.create_task(self._run(error))
        await asyncio.shield(self._ending)

    async def _run(self, error: ServiceError | None) -> None:
        failed: Exception | None = None
        for end in self._ends:
            try:
                await end(error)
            except Exception as fault:
                failed = failed or fault
        if failed is not None:
            raise failed
