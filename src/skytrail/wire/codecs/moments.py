"""Points in time: read as aware datetimes in UTC; written from datetimes or from seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from .faults import Unreadable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST = 64


def from_number(value: float) -> datetime:
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unreadable("NUMBER_VALUE can not be converted to milliseconds since epoch") from error


def from_iso(text: str) -> datetime:
    try:
        if len(text) > _LONGEST:
            raise ValueError
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("STRING_VALUE can not be converted to a Timestamp") from error


def from_http_date(text: str) -> datetime:
    try:
        if len(text) > _LONGEST:
            raise ValueError
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        raise Unreadable("STRING_VALUE can not be converted to a Timestamp") from error


def from_text(text: str) -> datetime:
    """In any of the forms that clients send in headers, queries, forms and XML."""
    text = text.strip()
    if _NUMBER.fullmatch(text) and len(text) != 8:
        return from_number(float(text))
    return from_http_date(text) if text[:1].isalpha() else from_iso(text)


def moment_of(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return _EPOCH + timedelta(seconds=value)


def to_number(value: Any) -> float:
    """Seconds with three places, as AWS gives them: 1765977780.0, 1765977780.123."""
    return round(moment_of(value).timestamp() if isinstance(value, datetime) else float(value), 3)


def to_iso(value: Any) -> str:
    """Without a fraction."""
    return moment_of(value).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def to_iso_zero(value: Any) -> str:
    """S3's and EC2's: whole seconds, written with a fraction."""
    return moment_of(value).replace(microsecond=0, tzinfo=None).isoformat() + ".000Z"


def to_iso_exact(value: Any) -> str:
    """With milliseconds, where there are any."""
    moment = moment_of(value).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond >= 1000 else "seconds") + "Z"


def to_http_date(value: Any) -> str:
    return format_datetime(moment_of(value).replace(microsecond=0), usegmt=True)


def to_text_number(value: Any) -> str:
    number = to_number(value)
    return str(int(number)) if number.is_integer() else str(number)


def text_writer(timestamp_format: str, iso: Callable[[Any], str]) -> Callable[[Any], str]:
    """For XML, headers and queries; `iso` is how the service writes its ISO times."""
    return {"iso8601": iso, "rfc822": to_http_date, "unixtimestamp": to_text_number}[timestamp_format.lower()]
