"""Creating, listing and deleting topics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import attributes, tags, topics
from .common import PAGE, Address, addressed, invalid, millis, next_token, place

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import CreateTopicInputTypeDef, DeleteTopicInputTypeDef, ListTopicsInputTypeDef

TOPICS = 100_000
FIFO_TOPICS = 1000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")


def create_topic(call: Call, request: CreateTopicInputTypeDef, engines: Engines) -> Change:
    address = Address(call.account, call.region, request["Name"])
    given = dict(request.get("Attributes", {}))
    _check_name(address, given)
    if request.get("DataProtectionPolicy"):
        raise attributes.unsupported("DataProtectionPolicy", "messages are not inspected")
    wanted = attributes.created_with(address, given)
    tagged = tags.tagged({}, request.get("Tags", ()))

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = topics.find(tx, address)
        if topic is not None:
            has = {**_DEFAULTS, **topic.body.attributes}
            if any(has.get(name) != value for name, value in wanted.items()):
                raise invalid("Attributes Reason: Topic already exists with different attributes")
            if "Tags" in request and topic.body.tags != tagged:
                raise invalid("Tags Reason: Topic already exists with different tags")
            return {"TopicArn": address.arn}
        most = FIFO_TOPICS if address.fifo else TOPICS
        if topics.count(tx, address.account, address.region, fifo=address.fifo) >= most:
            raise ServiceError(
                "TopicLimitExceededException", f"An account has at most {most} topics of this type in a Region"
            )
        topics.add(tx, address, topics.Body(millis(engines.clock.time()), wanted, tagged))
        return {"TopicArn": address.arn}

    return Change(apply)


#: What a topic has where it was not set, so that asking for it is no difference.
_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "FifoThroughputScope": "Topic",
    "SignatureVersion": "1",
    "TracingConfig": "PassThrough",
    "MaximumMessageSize": str(topics.MESSAGE_BYTES),
}


def _check_name(address: Address, given: dict[str, str]) -> None:
    fifo = given.get("FifoTopic", "false").lower()
    if fifo not in ("true", "false"):
        raise invalid("Attributes Reason: FifoTopic must be true or false")
    fine = _NAME.fullmatch(address.name.removesuffix(".fifo")) is not None and len(address.name) <= 256
    if fifo == "true" and not (fine and address.fifo):
        raise invalid(
            "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, "
            "numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
        )
    if not fine or (address.fifo and fifo != "true"):
        raise invalid("Topic Name")


def delete_topic(call: Call, request: DeleteTopicInputTypeDef, engines: Engines) -> Change:
    address = addressed(call, request["TopicArn"])

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = topics.find(tx, address)
        if topic is not None:
            topics.remove(tx, topic)
        return {}

    return Change(apply)


def list_topics(call: Call, request: ListTopicsInputTypeDef, engines: Engines) -> dict[str, Any]:
    after = place(call, engines, request, ["topics"]) or ""
    found = topics.listed(engines.store.read, call.account, call.region, after, PAGE + 1)
    output: dict[str, Any] = {"Topics": [{"TopicArn": address.arn} for address in found[:PAGE]]}
    if len(found) > PAGE:
        output["NextToken"] = next_token(call, engines, found[PAGE - 1].name, ["topics"])
    return output
