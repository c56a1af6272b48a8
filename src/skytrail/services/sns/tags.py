"""Topics' tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import topics
from .common import Address, addressed, invalid, not_authorized
from .topics import Topic

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import (
        ListTagsForResourceRequestTypeDef,
        TagResourceRequestTypeDef,
        UntagResourceRequestTypeDef,
    )

_TAGS = 50


def tag_resource(call: Call, request: TagResourceRequestTypeDef, engines: Engines) -> Change:
    address = _owned(call, request["ResourceArn"])

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = _tagged_topic(tx, address)
        topic.body.tags = tagged(topic.body.tags, request["Tags"])
        topics.save(tx, topic)
        return {}

    return Change(apply)


def untag_resource(call: Call, request: UntagResourceRequestTypeDef, engines: Engines) -> Change:
    address, keys = _owned(call, request["ResourceArn"]), set(request["TagKeys"])

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = _tagged_topic(tx, address)
        topic.body.tags = {key: value for key, value in topic.body.tags.items() if key not in keys}
        topics.save(tx, topic)
        return {}

    return Change(apply)


def list_tags_for_resource(call: Call, request: ListTagsForResourceRequestTypeDef, engines: Engines) -> dict[str, Any]:
    topic = _tagged_topic(engines.store.read, _owned(call, request["ResourceArn"]))
    return {"Tags": [{"Key": key, "Value": value} for key, value in topic.body.tags.items()]}


def _owned(call: Call, arn: str) -> Address:
    address = addressed(call, arn, "ResourceArn")
    if address.account != call.account:
        raise not_authorized(call, arn)
    return address


def _tagged_topic(reader: Reader, address: Address) -> Topic:
    topic = topics.find(reader, address)
    if topic is None:
        raise ServiceError("ResourceNotFoundException", "Resource does not exist")
    return topic


def tagged(old: Mapping[str, str], given: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    tags = [(tag["Key"], tag["Value"]) for tag in given]
    if len({key for key, _ in tags}) != len(tags):
        raise invalid("Duplicated keys are not allowed.")
    if any(key.lower().startswith("aws:") for key, _ in tags):
        raise invalid("Tag keys that begin with aws: are reserved for AWS")
    new = {**old, **dict(tags)}
    if len(new) > _TAGS:
        raise ServiceError(
            "TagLimitExceededException", "Could not complete request: tag quota of per resource exceeded"
        )
    return new
