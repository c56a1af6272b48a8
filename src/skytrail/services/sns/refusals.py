"""Failures that another attempt would not mend."""

from __future__ import annotations

from ...errors import ServiceError

#: Errors below 500 that pass.
_PASSING = frozenset(
    {
        "KMSThrottlingException", "OverLimit", "RequestThrottled", "RequestTimeout", "ServiceUnavailable", "SlowDown",
        "Throttling", "ThrottlingException", "TooManyRequestsException", "InternalError", "InternalFailure",
        "ServiceException", "ServiceUnavailableException",
    }
)  # fmt: skip


class Refused(Exception):
    """The endpoint does not want it, or is not there: it is not tried again."""


def is_final(error: ServiceError) -> bool:
    """Whether a service's answer is its last word: the resource is gone, or closed to us, or the call is wrong."""
    if error.code in _PASSING:
        return False
    return error.status is None or error.status < 500 or error.status == 501
