"""What SQS's operations share: where a queue is, times, errors, pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ...call import Call
from ...errors import ServiceError
from ...wire import arns
from .. import tokens
from ..engines import Engines

PAGE = 1000
#: Operations that a queue's policy may open to another account.
SHARED = frozenset(
    {"ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues",
     "PurgeQueue", "ReceiveMessage", "SendMessage"}
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Address:
    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return arns.format("sqs", self.region, self.account, self.name, arns.partition_of(self.region))


def millis(seconds: float) -> int:
    return round(seconds * 1000)


def addressed(call: Call, url: str) -> Address:
    """The queue that a URL names, by its path; whatever host it names is this server."""
    try:
        parts = [unquote(part) for part in urlsplit(url).path.split("/") if part]
    except ValueError:
        parts = []
    if len(parts) < 2 or not arns.is_account(parts[-2]):
        raise ServiceError("InvalidAddress", f"The address {url} is not valid for this endpoint.")
    return _own(call, Address(parts[-2], call.region, parts[-1]))


def addressed_by_arn(call: Call, arn: str, parameter: str) -> Address:
    try:
        parsed = arns.parse(arn)
    except ValueError:
        raise ServiceError(
            "InvalidParameterValue",
            f"You must use this format to specify the {parameter}: "
            "arn:<partition>:<service>:<region>:<account-id>:<resource-id>",
        ) from None
    if parsed.service != "sqs" or parsed.region != call.region:
        raise not_found(parameter)
    return _own(call, Address(parsed.account, parsed.region, parsed.resource))


def _own(call: Call, address: Address) -> Address:
    """What may be done to another account's queue is up to the queue's policy, but some of it is not to be had."""
    assert call.route is not None
    if address.account != call.account and call.route.operation.name.removesuffix("Batch") not in SHARED:
        action = f"sqs:{call.route.operation.name.removesuffix('Batch').lower()}"
        raise ServiceError(
            "AccessDeniedException" if call.route.protocol == "json" else "AccessDenied",
            f"User: {call.identity.arn} is not authorized to perform: {action} on resource: {address.arn}"
            f" because no resource-based policy allows the {action} action",
            status=400 if call.route.protocol == "json" else 403,
        )
    return address


def url_of(call: Call, address: Address) -> str:
    """The queue's URL, at the host that the client called."""
    scheme = "https" if call.source.tls is not None else "http"
    return f"{scheme}://{call.request.headers.get('host', 'localhost')}/{address.account}/{address.name}"


# Errors


def no_queue() -> ServiceError:
    return ServiceError("QueueDoesNotExist", "The specified queue does not exist.")


def not_found(parameter: str) -> ServiceError:
    return ServiceError(
        "ResourceNotFoundException", f"The resource that you specified for the {parameter} parameter doesn't exist."
    )


def missing(parameter: str) -> ServiceError:
    return ServiceError("MissingParameter", f"The request must contain the parameter {parameter}.")


def invalid(value: object, parameter: str, reason: str) -> ServiceError:
    return ServiceError(
        "InvalidParameterValue", f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
    )


def bounded(request: Any, parameter: str, least: int, most: int, default: int) -> int:
    value: int = request.get(parameter, default)
    if not least <= value <= most:
        raise invalid(value, parameter, f"Must be >= {least} and <= {most}, if provided.")
    return value


# Pages


def page_limits(call: Call, engines: Engines, request: Any, listing: Sequence[Any]) -> tuple[str, int]:
    """The name after which a page begins, and how many it may have."""
    limit: int = request.get("MaxResults", PAGE)
    if not 1 <= limit <= PAGE:
        raise invalid(limit, "MaxResults", f"MaxResults must be an integer between 1 and {PAGE}.")
    if "NextToken" not in request:
        return "", limit
    try:
        place = tokens.unseal(engines.sealer, request["NextToken"], [call.account, call.region, *listing])
    except tokens.InvalidToken:
        raise invalid(request["NextToken"], "NextToken", "Invalid or expired token.") from None
    return str(place), limit


def next_token(call: Call, engines: Engines, place: str, listing: Sequence[Any]) -> str:
    return tokens.seal(engines.sealer, place, [call.account, call.region, *listing])
