"""Reads of the table `events` that see all that was recorded before them."""

from __future__ import annotations

from ....errors import ColumnsError, ColumnsUnavailable, QueryTooLarge, ServiceError
from ...engines import Engines

#: The last second that the columns' times can name; all later ones mean the same.
_END_OF_TIME = 0xFFFF_FFFF


async def catch_up(engines: Engines) -> int:
    """All that is recorded by now can be read; the position of the newest of it."""
    end = engines.store.end("audit")
    await engines.column_writer.catch_up("audit")
    return end


def seconds(time: float) -> int:
    """A moment as the history compares it: an event's time has whole seconds, and so have the ends of a range."""
    return min(max(int(time), 0), _END_OF_TIME)


def unavailable(error: ColumnsError) -> ServiceError:
    """What the caller is answered when the columns cannot be read: an error that clients try again after."""
    if isinstance(error, ColumnsUnavailable):
        message = "The event history cannot be read at this moment. Try again in a moment."
    elif isinstance(error, QueryTooLarge):
        message = "The query over the event history met its limit of time or memory. Narrow it by time, or try again."
    else:
        raise error
    return ServiceError("ServiceUnavailable", message, status=503)
