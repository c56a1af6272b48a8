"""Intents: what stands in the journal's file before a write is sent to an upstream, and until its record is there.

An intent holds the record as it would be if nothing more were ever heard of the call. The call's own record takes its
place in one transaction; an intent that a start finds becomes a record.
"""

from __future__ import annotations

import dataclasses
import logging

from ...audit import record
from ...call import Call
from ...errors import ServiceError, StoreUnwritable
from ...storage.store import Store, Transaction
from ...work.clock import Clock
from . import failures

_log = logging.getLogger(__name__)


class Intents:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def leave(self, call: Call) -> None:
        """Returns when the intent is on disk; where it cannot be, the call is not made."""
        unknown = record.build(dataclasses.replace(call, error=failures.outcome_unknown()), self._clock.time())

        def insert(transaction: Transaction) -> None:
            transaction.connection.execute(
                "INSERT INTO intents (event, record) VALUES (?, ?)", (call.event_id, unknown)
            )

        try:
            await self._store.submit(insert)
        except StoreUnwritable as error:
            raise ServiceError("ServiceUnavailable", str(error), status=503) from error
        call.intent = True

    async def settle(self) -> int:
        """At the start: what a crash left becomes records. Returns how many."""

        def settle(transaction: Transaction) -> int:
            left = transaction.connection.execute("SELECT record FROM intents ORDER BY rowid").fetchall()
            for (unknown,) in left:
                transaction.append("audit", unknown)
            transaction.connection.execute("DELETE FROM intents")
            return len(left)

        settled = await self._store.submit(settle)
        if settled:
            _log.warning("of %d calls to upstreams the outcome is not known: their records say so", settled)
        return settled


def withdraw(transaction: Transaction, call: Call) -> None:
    """With the call's record, in its transaction."""
    if call.intent:
        transaction.connection.execute("DELETE FROM intents WHERE event = ?", (call.event_id,))
