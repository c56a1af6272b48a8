"""How it goes with a trail in a Region."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ....call import Call
from ...engines import Engines
from ..delivery import status
from . import finding

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import GetTrailStatusRequestTypeDef


def get_trail_status(call: Call, request: GetTrailStatusRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """Times that there are none of are left out, but for those that AWS gives as texts."""
    trail = finding.find(call, engines, request["Name"])
    known = status.read(engines.store.read, trail, call.region)
    optional: dict[str, Any] = {
        "LatestDeliveryError": known.latest_delivery_error,
        "LatestNotificationError": known.latest_notification_error,
        "LatestDeliveryTime": known.latest_delivery,
        "LatestNotificationTime": known.latest_notification,
        "StartLoggingTime": trail.started,
        "StopLoggingTime": trail.stopped,
        "LatestCloudWatchLogsDeliveryError": known.latest_logs_error,
        "LatestCloudWatchLogsDeliveryTime": known.latest_logs,
        "LatestDigestDeliveryTime": known.latest_digest,
        "LatestDigestDeliveryError": known.latest_digest_error,
    }
    return {
        "IsLogging": trail.logging,
        **{member: value for member, value in optional.items() if value},
        "LatestDeliveryAttemptTime": _text(known.latest_delivery_attempt),
        "LatestNotificationAttemptTime": _text(known.latest_notification_attempt),
        "LatestNotificationAttemptSucceeded": _succeeded(
            known.latest_notification, known.latest_notification_attempt_succeeded
        ),
        "LatestDeliveryAttemptSucceeded": _succeeded(known.latest_delivery, known.latest_delivery_attempt_succeeded),
        "TimeLoggingStarted": _text(trail.started),
        "TimeLoggingStopped": _text(trail.stopped),
    }


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


def _succeeded(latest: float, succeeded: bool | None) -> str:
    """When the latest attempt succeeded; "" where it did not."""
    return "" if succeeded is False else _text(latest)
