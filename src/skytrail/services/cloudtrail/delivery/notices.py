"""The notice of a file, to the trail's topic."""

from __future__ import annotations

import logging

import msgspec
import orjson

from ....storage.store import Transaction
from ....work.outbox import Parcel
from ...engines import Engines
from ..trails.model import PRINCIPAL, Trail
from . import attempts, orders, status
from .spool import Stream

LANE = "trail-notices"
#: A notice that comes later helps nobody.
_DAYS = 1.0

_log = logging.getLogger(__name__)


def open_lane(engines: Engines) -> None:
    async def deliver(parcel: Parcel) -> None:
        await _deliver(engines, parcel)

    engines.outbox.lane(LANE, deliver, attempts.patience(engines, _DAYS))


class _Notice(msgspec.Struct, frozen=True):
    """The trail may be gone when it is tried again."""

    trail: Trail
    stream: Stream
    message: str


_notice = msgspec.json.Decoder(_Notice).decode


def post(tx: Transaction, engines: Engines, trail: Trail, stream: Stream, bucket: str, key: str) -> None:
    message = orjson.dumps({"s3Bucket": bucket, "s3ObjectKey": [key]}).decode()
    engines.outbox.post(tx, LANE, msgspec.json.encode(_Notice(trail, stream, message)))


async def _deliver(engines: Engines, parcel: Parcel) -> None:
    """To the topic that the trail has now: else a topic that it had before would be tried, and told of, for a day."""
    notice = _notice(parcel.body)
    order = orders.by_id(engines.store.read, notice.trail.id)
    trail = notice.trail if order is None else order.trail
    if not trail.topic:
        return
    now = engines.clock.time()
    changes: dict[str, float | str | bool] = {"latest_notification_attempt": now}
    try:
        await engines.internal.call(
            "sns", "Publish", {"TopicArn": trail.topic, "Message": notice.message},
            principal=PRINCIPAL, account=trail.account, region=trail.topic.split(":")[3], source_arn=trail.arn,
            needs_policy=True,
        )  # fmt: skip
    except Exception as error:
        changes |= {
            "latest_notification_attempt_succeeded": False,
            "latest_notification_error": attempts.code(error, "sns"),
        }
        raise
    else:
        changes |= {
            "latest_notification": now,
            "latest_notification_attempt_succeeded": True,
            "latest_notification_error": "",
        }
    finally:
        await engines.store.submit(lambda tx: status.update(tx, notice.stream, **changes))
