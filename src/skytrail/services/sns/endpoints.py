"""Subscriptions' endpoints: what each protocol accepts, and which of them must be confirmed."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from ...call import Call
from ...wire import arns
from ...work.addresses import Forbidden
from ..engines import Engines
from .common import Address, invalid
from .targets import guard

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII)
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")
_FUNCTION = re.compile(r"function:[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9$_-]{1,128})?")
_LONGEST = 2048
_REFUSED = {"application": "mobile push", "firehose": "Amazon Data Firehose", "sms": "SMS"}


def check(call: Call, engines: Engines, topic: Address, protocol: str, endpoint: str) -> bool:
    """Refuse what the protocol cannot deliver to. True where who subscribes needs not confirm: the endpoint is his."""
    if protocol in _REFUSED:
        raise invalid(f"Protocol Reason: {protocol} is not supported: there is no {_REFUSED[protocol]} here")
    if protocol not in ("http", "https", "email", "email-json", "sqs", "lambda"):
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if not endpoint:
        raise invalid("Endpoint")
    if topic.fifo and protocol != "sqs":
        raise invalid("Protocol Reason: FIFO topics deliver to Amazon SQS queues only")
    match protocol:
        case "http" | "https":
            _check_url(engines, protocol, endpoint)
            return False
        case "email" | "email-json":
            _check_mail(engines, endpoint)
            return False
        case "sqs":
            return _check_arn(endpoint, "sqs", _QUEUE, topic) == call.account
        case _:
            return _check_arn(endpoint, "lambda", _FUNCTION, topic) == call.account


def _check_url(engines: Engines, protocol: str, endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise invalid("Unparseable URL") from None
    if parts.scheme != protocol:
        raise invalid("Endpoint must match the specified protocol")
    if not host or len(endpoint) > _LONGEST or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise invalid("Unparseable URL")
    try:
        guard(engines.settings).check(host)
    except Forbidden as error:
        raise invalid(f"Endpoint Reason: {error}") from None


def _check_mail(engines: Engines, endpoint: str) -> None:
    if not engines.settings.mail.host:
        raise invalid("Protocol Reason: no mail server is set (mail.host), so email is not supported")
    if len(endpoint) > 320 or not _MAIL.fullmatch(endpoint):
        raise invalid("Email address")


def _check_arn(endpoint: str, service: str, resource: re.Pattern[str], topic: Address) -> str:
    """Returns the account that the endpoint belongs to."""
    what = "SQS endpoint ARN" if service == "sqs" else "Lambda endpoint ARN"
    try:
        arn = arns.parse(endpoint)
    except ValueError:
        raise invalid(what) from None
    fine = arn.service == service and arns.is_account(arn.account) and resource.fullmatch(arn.resource)
    if not fine or arn.partition != arns.partition_of(topic.region) or not re.fullmatch("[a-z0-9-]{1,64}", arn.region):
        raise invalid(what)
    if service == "sqs" and arn.resource.endswith(".fifo") and not topic.fifo:
        raise invalid(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"
        )
    return arn.account


def shown(endpoint: str) -> str:
    """The endpoint without its password."""
    if "@" not in endpoint or "://" not in endpoint:
        return endpoint
    parts: SplitResult = urlsplit(endpoint)
    if parts.password is None:
        return endpoint
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:****@{host}").geturl()
