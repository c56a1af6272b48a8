"""Tags of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines, Outcome
from . import keys
from .common import addressed, change, not_pending, own, page

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        ListResourceTagsRequestTypeDef,
        TagResourceRequestTypeDef,
        TagTypeDef,
        UntagResourceRequestTypeDef,
    )

TAGS_PER_KEY = 50


def tag_resource(call: Call, request: TagResourceRequestTypeDef, engines: Engines) -> Change:
    given = checked(request["Tags"])

    def apply(tx: Transaction) -> None:
        key = not_pending(own(call, addressed(tx, call, request["KeyId"])))
        tags = limited(tuple({**dict(key.tags), **dict(given)}.items()))
        keys.put(tx, msgspec.structs.replace(key, tags=tags))

    return change(call, apply)


def untag_resource(call: Call, request: UntagResourceRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> None:
        key = not_pending(own(call, addressed(tx, call, request["KeyId"])))
        tags = tuple(tag for tag in key.tags if tag[0] not in request["TagKeys"])
        keys.put(tx, msgspec.structs.replace(key, tags=tags))

    return change(call, apply)


def list_resource_tags(call: Call, request: ListResourceTagsRequestTypeDef, engines: Engines) -> Outcome:
    key = addressed(engines.store.read, call, request["KeyId"])
    shown = [(name, {"TagKey": name, "TagValue": value}) for name, value in sorted(key.tags)]
    return page(call, engines, "Tags", lambda after: (tag for tag in shown if tag[0] > after), usual=50, most=50)


def checked(given: Sequence[TagTypeDef]) -> tuple[tuple[str, str], ...]:
    tags = tuple((tag["TagKey"], tag["TagValue"]) for tag in given)
    if any(name.lower().startswith("aws:") for name, _ in tags):
        raise ServiceError("TagException", "Tags that begin with aws: are reserved for AWS.")
    if len(dict(tags)) != len(tags):
        raise ServiceError("TagException", "Duplicate tag keys")
    return tags


def limited(tags: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if len(tags) > TAGS_PER_KEY:
        raise ServiceError("LimitExceededException", f"A key has at most {TAGS_PER_KEY} tags.")
    return tags
