"""What calls of SNS demand: the topic that they are about, with its policy."""

from __future__ import annotations

from collections.abc import Sequence

from ...audit.classify import classify
from ...call import Call
from ...errors import ServiceError
from ...identity.demands import Demand
from ..engines import Engines
from . import policies, topics
from .common import Address, addressed, addressed_subscription, is_signed

#: Whoever follows a link in a message may do what it says: the link itself is the permission.
_BY_LINK = frozenset({"ConfirmSubscription", "Unsubscribe"})


def demands(call: Call, engines: Engines) -> Sequence[Demand] | None:
    """None where no topic is named, or none that there can be: then the reference says all that there is to say."""
    assert call.route is not None
    operation, given = call.route.operation, call.input or {}
    action = classify("sns", operation).action
    try:
        if operation.name == "CreateTopic":
            address = Address(call.account, call.region, given["Name"])
        elif "SubscriptionArn" in given:
            address, _ = addressed_subscription(call, given["SubscriptionArn"])
        else:
            arn = given.get("TopicArn") or given.get("ResourceArn") or given.get("TargetArn")
            if arn is None:
                return None
            address = addressed(call, arn)
    except (ServiceError, KeyError):
        return None
    if operation.name in _BY_LINK:
        # Whose subscription it is, and whether the token fits, the operation itself finds out.
        return [Demand(action, address.arn, granted=not is_signed(call))]
    if "SubscriptionArn" in given:
        return [Demand(action, "*")]
    found = [_demand(call, engines, action, address)]
    if operation.name == "CreateTopic" and given.get("Tags"):
        found.append(_demand(call, engines, "sns:TagResource", address))
    return found


def _demand(call: Call, engines: Engines, action: str, address: Address) -> Demand:
    given = call.input or {}
    topic = topics.find(engines.store.read, address)
    tags = topic.body.tags if topic is not None else {}
    context = {f"aws:resourcetag/{key.lower()}": (value,) for key, value in tags.items()}
    for member, key in (("Endpoint", "sns:endpoint"), ("Protocol", "sns:protocol")):
        if member in given:
            context[key] = (given[member],)
    policy = None
    if topic is not None:
        policy = topic.body.attributes.get("Policy") or policies.default(address)
    return Demand(action, address.arn, address.account, policy, context=context)
