"""What SNS's operations share: where a topic is, times, errors, pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ...call import Call
from ...errors import ServiceError
from ...wire import arns
from ...wire.routing import scope_of
from .. import tokens
from ..engines import Engines

PRINCIPAL = "sns.amazonaws.com"
PAGE = 100


@dataclass(slots=True, frozen=True)
class Address:
    """Where a topic is."""

    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return arns.format("sns", self.region, self.account, self.name, arns.partition_of(self.region))

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")


def millis(seconds: float) -> int:
    return round(seconds * 1000)


def timestamp(moment: int) -> str:
    """Milliseconds since 1970 as SNS writes them."""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment % 1000:03d}Z"


def is_signed(call: Call) -> bool:
    """False for the links in messages, which anyone who has them may follow."""
    return call.source.operator or bool(call.identity.invoked_by) or scope_of(call.request) is not None


# Errors


def invalid(what: str) -> ServiceError:
    return ServiceError("InvalidParameterException", f"Invalid parameter: {what}")


def no_topic() -> ServiceError:
    return ServiceError("NotFoundException", "Topic does not exist")


def no_subscription() -> ServiceError:
    return ServiceError("NotFoundException", "Subscription does not exist")


def not_authorized(call: Call, resource: str) -> ServiceError:
    assert call.route is not None
    return ServiceError(
        "AuthorizationErrorException",
        f"User: {call.identity.arn or 'anonymous'} is not authorized to perform: SNS:{call.route.operation.name} "
        f"on resource: {resource}",
    )


# Addresses


def parse(arn: str, parameter: str) -> arns.Arn:
    try:
        return arns.parse(arn)
    except ValueError:
        parts = len(arn.split(":"))
        if parts < 6:
            raise invalid(f"{parameter} Reason: An ARN must have at least 6 elements, not {parts}") from None
        raise invalid(parameter) from None


def addressed(call: Call, arn: str, parameter: str = "TopicArn") -> Address:
    """The topic that an ARN names, in the Region that is called."""
    parsed = parse(arn, parameter)
    if parsed.service != "sns" or not arns.is_account(parsed.account) or ":" in parsed.resource:
        raise invalid(parameter)
    if parsed.region != call.region and is_signed(call):  # a link names no Region but in the ARN
        raise invalid(parameter)
    return Address(parsed.account, parsed.region, parsed.resource)


def addressed_subscription(call: Call, arn: str) -> tuple[Address, str]:
    """The topic of a subscription, and the subscription's id."""
    parsed = parse(arn, "SubscriptionArn")
    name, _, id_ = parsed.resource.partition(":")
    if parsed.service != "sns" or not id_ or ":" in id_:
        raise invalid(
            f"SubscriptionArn Reason: An ARN must have at least 7 elements, not {len(arn.split(':'))}"
            if not id_
            else "SubscriptionArn"
        )
    if parsed.region != call.region and is_signed(call):
        raise invalid("SubscriptionArn")
    return Address(parsed.account, parsed.region, name), id_


# Pages


def place(call: Call, engines: Engines, request: Any, listing: list[Any]) -> Any:
    """Where a page begins; None for the first one."""
    if not request.get("NextToken"):
        return None
    try:
        return tokens.unseal(engines.sealer, request["NextToken"], [call.account, call.region, *listing])
    except tokens.InvalidToken:
        raise invalid("NextToken") from None


def next_token(call: Call, engines: Engines, after: Any, listing: list[Any]) -> str:
    return tokens.seal(engines.sealer, after, [call.account, call.region, *listing])
