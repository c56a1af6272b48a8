"""What a client is told when an upstream does not answer as it should."""

from __future__ import annotations

from ...errors import ServiceError
from .targets import Target

#: Said where a write may have reached the upstream.
_UNKNOWN = " Whether the call was carried out is not known."


def unreachable(target: Target, reason: object) -> ServiceError:
    """Nothing of the call has reached the upstream."""
    return ServiceError("BadGateway", f"The upstream {target} cannot be reached: {reason}.", status=502)


def broken(target: Target, reason: object, *, write: bool) -> ServiceError:
    text = f"The upstream {target} did not answer whole: {reason}.{_UNKNOWN if write else ''}"
    return ServiceError("BadGateway", text, status=502)


def unreadable(target: Target, reason: object, *, write: bool) -> ServiceError:
    """A success that is no answer of this operation's: to pass it on would be to claim one."""
    text = f"The upstream {target} answered what cannot be read as this operation's answer: {reason}."
    return ServiceError("BadGateway", f"{text}{_UNKNOWN if write else ''}", status=502)


def lacking(target: Target, reason: object) -> ServiceError:
    """To try again would not help, so it is none of the errors after which clients do."""
    text = f"The upstream {target} does not implement this: {reason}."
    return ServiceError("NotImplemented", text, status=501)


def late(target: Target, seconds: float, *, write: bool) -> ServiceError:
    text = f"The upstream {target} did not answer within {seconds:g} seconds.{_UNKNOWN if write else ''}"
    return ServiceError("GatewayTimeout", text, status=504)


def busy(target: Target, most: int) -> ServiceError:
    text = f"Please reduce your request rate: {most} calls to upstreams are under way, and none for {target} began."
    return ServiceError("SlowDown", text, status=503)


def outcome_unknown() -> ServiceError:
    """What the record of a write says whose answer was never seen."""
    return ServiceError(
        "OutcomeUnknown",
        "The server stopped before the upstream had answered. Whether the call was carried out is not known.",
        status=500,
    )
