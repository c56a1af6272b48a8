"""How often, and after how long, a delivery that failed is tried again.

Four phases: retries without delay, with the smallest delay, with delays that grow by a function, with the greatest.
Topics and subscriptions give such policies for HTTP; for the other protocols they are fixed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from .common import invalid

_TOTAL_SECONDS = 3600
_FUNCTIONS = ("arithmetic", "exponential", "geometric", "linear")
CONTENT_TYPE = "text/plain; charset=UTF-8"
_CONTENT_TYPES = frozenset(
    {
        "application/atom+xml", "application/json", "application/octet-stream", "application/soap+xml",
        "application/x-www-form-urlencoded", "application/xhtml+xml", "application/xml", "text/css", "text/csv",
        "text/html", "text/plain", "text/xml",
    }
)  # fmt: skip


class Retries(msgspec.Struct, frozen=True, rename="camel"):
    min_delay_target: int = 20
    max_delay_target: int = 20
    num_retries: int = 3
    num_max_delay_retries: int = 0
    num_no_delay_retries: int = 0
    num_min_delay_retries: int = 0
    backoff_function: str = "linear"

    @property
    def _growing(self) -> int:
        """How many retries have delays that grow."""
        fixed = self.num_no_delay_retries + self.num_min_delay_retries + self.num_max_delay_retries
        return self.num_retries - fixed

    def delay(self, retry: int) -> float | None:
        """Seconds before a retry, the first one being 0; None where there is no such retry any more."""
        if retry >= self.num_retries:
            return None
        if retry < self.num_no_delay_retries:
            return 0.0
        retry -= self.num_no_delay_retries
        if retry < self.num_min_delay_retries:
            return float(self.min_delay_target)
        retry -= self.num_min_delay_retries
        if retry >= self._growing:
            return float(self.max_delay_target)
        return self._grown(retry)

    def _grown(self, step: int) -> float:
        low, high, last = float(self.min_delay_target), float(self.max_delay_target), self._growing - 1
        if last == 0:
            return low
        match self.backoff_function:
            case "arithmetic":
                return low + (high - low) * step * (step + 1) / (last * (last + 1))
            case "exponential":
                return low + (high - low) * (2.0**step - 1) / (2.0**last - 1)
            case "geometric":
                return float(low * (high / low) ** (step / last))
            case _:
                return low + (high - low) * step / last

    def total(self) -> float:
        return sum(self.delay(retry) or 0.0 for retry in range(self.num_retries))


DEFAULT = Retries()
#: Queues and functions.
MANAGED = Retries(1, 20, 100_015, 100_000, 3, 2, "exponential")
MAIL = Retries(10, 600, 50, 38, 0, 2, "exponential")


class Throttle(msgspec.Struct, frozen=True, rename="camel"):
    max_receives_per_second: int


class Requests(msgspec.Struct, frozen=True, rename="camel"):
    header_content_type: str = CONTENT_TYPE


class Effective(msgspec.Struct, frozen=True):
    retries: Retries
    throttle: Throttle | None
    requests: Requests


# Reading


def check_topic(text: str) -> None:
    _of_topic(text)


def check_subscription(text: str) -> None:
    _of_subscription(text)


@functools.lru_cache(maxsize=512)
def _of_topic(text: str) -> tuple[Retries | None, bool, Throttle | None, Requests | None]:
    tree = _object(text)
    _only(tree, ("http",), "")
    http = _part(tree, "http", "http") or {}
    known = (
        "defaultHealthyRetryPolicy", "disableSubscriptionOverrides", "defaultThrottlePolicy", "defaultRequestPolicy",
        "defaultSicklyRetryPolicy",
    )  # fmt: skip
    _only(http, known, "http.")
    if http.get("defaultSicklyRetryPolicy") is not None:
        raise _wrong("http.defaultSicklyRetryPolicy is deprecated and not supported")
    disable = http.get("disableSubscriptionOverrides", False)
    if not isinstance(disable, bool):
        raise _wrong("http.disableSubscriptionOverrides must be a boolean")
    return (
        _retries(_part(http, "defaultHealthyRetryPolicy", "http."), "http.defaultHealthyRetryPolicy"),
        disable,
        _throttle(_part(http, "defaultThrottlePolicy", "http."), "http.defaultThrottlePolicy"),
        _requests(_part(http, "defaultRequestPolicy", "http."), "http.defaultRequestPolicy"),
    )


@functools.lru_cache(maxsize=512)
def _of_subscription(text: str) -> tuple[Retries | None, Throttle | None, Requests | None]:
    tree = _object(text)
    _only(tree, ("healthyRetryPolicy", "sicklyRetryPolicy", "throttlePolicy", "requestPolicy", "guaranteed"), "")
    if tree.get("sicklyRetryPolicy") is not None or tree.get("guaranteed", False) is not False:
        raise _wrong("sicklyRetryPolicy and guaranteed are deprecated and not supported")
    return (
        _retries(_part(tree, "healthyRetryPolicy", ""), "healthyRetryPolicy"),
        _throttle(_part(tree, "throttlePolicy", ""), "throttlePolicy"),
        _requests(_part(tree, "requestPolicy", ""), "requestPolicy"),
    )


def _wrong(what: str) -> Exception:
    return invalid(f"DeliveryPolicy: {what}")


def _object(text: str) -> dict[str, Any]:
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _wrong("failed to parse JSON.") from None
    if not isinstance(tree, dict):
        raise _wrong("Policy is not an object")
    return tree


def _only(tree: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    strange = sorted(tree.keys() - set(known))
    if strange:
        raise _wrong(f"Unexpected JSON member: {prefix}{strange[0]}")


def _part(tree: Mapping[str, Any], name: str, prefix: str) -> dict[str, Any] | None:
    part = tree.get(name)
    if part is not None and not isinstance(part, dict):
        raise _wrong(f"{prefix}{name} must be an object")
    return part


def _retries(tree: dict[str, Any] | None, place: str) -> Retries | None:
    if tree is None:
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(Retries)}
    _only(tree, tuple(fields), f"{place}.")
    given = {name: value for name, value in tree.items() if value is not None}
    for name, value in given.items():
        if name == "backoffFunction":
            if value not in _FUNCTIONS:
                raise _wrong(f"{place}.backoffFunction must be one of {', '.join(_FUNCTIONS)}")
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _TOTAL_SECONDS:
            raise _wrong(f"{place}.{name} must be between 0 and {_TOTAL_SECONDS}")
    # Where only one of the delays is given, the other one's default gives way.
    low, high = given.get("minDelayTarget"), given.get("maxDelayTarget")
    if low is not None and high is None:
        given["maxDelayTarget"] = max(low, DEFAULT.max_delay_target)
    elif high is not None and low is None:
        given["minDelayTarget"] = min(high, DEFAULT.min_delay_target)
    found = msgspec.convert(given, Retries)
    if found.num_retries > 100:
        raise _wrong(f"{place}.numRetries must be less than or equal to 100")
    if not 1 <= found.min_delay_target <= found.max_delay_target:
        raise _wrong(f"{place}.minDelayTarget must be at least 1 and not exceed maxDelayTarget")
    if found.num_no_delay_retries + found.num_min_delay_retries + found.num_max_delay_retries > found.num_retries:
        raise _wrong(f"{place}.numRetries must be greater than or equal to the total number of retries of its phases")
    if found.total() > _TOTAL_SECONDS:
        raise _wrong(f"{place}: the total time of its retries must not exceed {_TOTAL_SECONDS} seconds")
    return found


def _throttle(tree: dict[str, Any] | None, place: str) -> Throttle | None:
    if tree is None:
        return None
    _only(tree, ("maxReceivesPerSecond",), f"{place}.")
    rate = tree.get("maxReceivesPerSecond")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
        raise _wrong(f"{place}.maxReceivesPerSecond must be greater than or equal to 1")
    return Throttle(rate)


def _requests(tree: dict[str, Any] | None, place: str) -> Requests | None:
    if tree is None:
        return None
    _only(tree, ("headerContentType",), f"{place}.")
    given = tree.get("headerContentType")
    if given is None:
        return None
    kind, _, parameter = given.partition(";") if isinstance(given, str) else ("", "", "")
    if kind.strip() not in _CONTENT_TYPES or parameter.strip().lower() not in ("", "charset=utf-8"):
        raise _wrong(f"{place}.headerContentType is not a supported content type")
    return Requests(given)


# Together


@functools.lru_cache(maxsize=512)
def effective(topic: str | None, subscription: str | None) -> Effective:
    """Of the delivery policies of a topic and of a subscription to it; both were found valid."""
    retries, disable, throttle, requests = _of_topic(topic) if topic else (None, False, None, None)
    if subscription and not disable:
        own_retries, own_throttle, own_requests = _of_subscription(subscription)
        retries, throttle, requests = own_retries or retries, own_throttle or throttle, own_requests or requests
    return Effective(retries or DEFAULT, throttle, requests or Requests())


def shown_of_topic(text: str | None) -> str:
    """EffectiveDeliveryPolicy of a topic."""
    _, disable, throttle, _ = _of_topic(text) if text else (None, False, None, None)
    found = effective(text, None)
    http: dict[str, Any] = {
        "defaultHealthyRetryPolicy": msgspec.to_builtins(found.retries),
        "disableSubscriptionOverrides": disable,
        **({"defaultThrottlePolicy": msgspec.to_builtins(throttle)} if throttle is not None else {}),
        "defaultRequestPolicy": msgspec.to_builtins(found.requests),
    }
    return orjson.dumps({"http": http}).decode()


def shown_of_subscription(topic: str | None, subscription: str | None) -> str:
    """EffectiveDeliveryPolicy of a subscription."""
    found = effective(topic, subscription)
    shown = {
        "healthyRetryPolicy": msgspec.to_builtins(found.retries),
        "sicklyRetryPolicy": None,
        "throttlePolicy": msgspec.to_builtins(found.throttle) if found.throttle is not None else None,
        "requestPolicy": msgspec.to_builtins(found.requests),
        "guaranteed": False,
    }
    return orjson.dumps(shown).decode()
