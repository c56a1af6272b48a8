"""How a trail's deliveries in a Region have gone: what GetTrailStatus tells."""

from __future__ import annotations

import msgspec

from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ..trails.model import Trail
from . import spool
from .spool import Stream


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """Times in seconds since 1970, 0 for never; errors are the codes that were answered last, "" for none."""

    latest_delivery: float = 0.0
    latest_delivery_error: str = ""
    latest_delivery_attempt: float = 0.0
    latest_delivery_attempt_succeeded: bool | None = None
    latest_notification: float = 0.0
    latest_notification_error: str = ""
    latest_notification_attempt: float = 0.0
    latest_notification_attempt_succeeded: bool | None = None
    latest_logs: float = 0.0
    latest_logs_error: str = ""
    latest_digest: float = 0.0
    latest_digest_error: str = ""


#: Of each stream, in its Region, under the trail's id and the stream's.
STATUSES = Kind("trail-status", Status)

NOTHING = Status()


def read(reader: Reader, trail: Trail, region: str) -> Status:
    """How it goes in a Region, with all accounts: what was latest, and an error while any stream has one."""
    found = [status for _, status in reader.list(STATUSES, "", region, prefix=f"{trail.id}/")]
    if not found:
        return NOTHING
    latest = max(found, key=lambda status: status.latest_delivery_attempt)
    notified = max(found, key=lambda status: status.latest_notification_attempt)
    return Status(
        max(status.latest_delivery for status in found),
        next((status.latest_delivery_error for status in found if status.latest_delivery_error), ""),
        latest.latest_delivery_attempt,
        latest.latest_delivery_attempt_succeeded,
        max(status.latest_notification for status in found),
        next((status.latest_notification_error for status in found if status.latest_notification_error), ""),
        notified.latest_notification_attempt,
        notified.latest_notification_attempt_succeeded,
        max(status.latest_logs for status in found),
        next((status.latest_logs_error for status in found if status.latest_logs_error), ""),
        max(status.latest_digest for status in found),
        next((status.latest_digest_error for status in found if status.latest_digest_error), ""),
    )


def update(tx: Transaction, stream: Stream, **changes: float | str | bool) -> None:
    """Nothing is told of a stream that is gone."""
    if spool.stream_by_id(tx, stream.id) is None:
        return
    status = tx.get(STATUSES, "", stream.region, _name(stream)) or NOTHING
    tx.put(STATUSES, "", stream.region, _name(stream), msgspec.structs.replace(status, **changes))


def forget(tx: Transaction, stream: Stream) -> None:
    tx.delete(STATUSES, "", stream.region, _name(stream))


def _name(stream: Stream) -> str:
    return f"{stream.trail}/{stream.id}"
