"""Functions' tags. One of them, `skytrail:http`, makes a function an HTTP address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from ...call import Call, Change
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import functions
from .common import invalid
from .configuration import HTTP_TAG
from .functions import FUNCTIONS
from .naming import Target, target_of_arn

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        ListTagsRequestTypeDef,
        TagResourceRequestTypeDef,
        UntagResourceRequestTypeDef,
    )

_TAGS, _KEY, _VALUE = 50, 128, 256


def tag_resource(call: Call, request: TagResourceRequestTypeDef, engines: Engines) -> Change:
    return _change(_function(call, request["Resource"]), lambda old: tagged(old, request["Tags"]))


def untag_resource(call: Call, request: UntagResourceRequestTypeDef, engines: Engines) -> Change:
    keys = set(request["TagKeys"])
    return _change(
        _function(call, request["Resource"]),
        lambda old: {key: value for key, value in old.items() if key not in keys},
    )


def list_tags(call: Call, request: ListTagsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    found = functions.existing(engines.store.read, _function(call, request["Resource"]))
    return {"Tags": found.tags}


def _change(target: Target, change: Any) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        old = functions.existing(tx, target)
        tx.put(
            FUNCTIONS, target.account, target.region, target.name, msgspec.structs.replace(old, tags=change(old.tags))
        )
        return {}

    return Change(apply)


def _function(call: Call, arn: str) -> Target:
    try:
        found = target_of_arn(arn)
    except ValueError:
        raise invalid(f"{arn} is not the ARN of a function: only functions have tags here.") from None
    if found.qualifier is not None:
        raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    if found.region != call.region:
        raise invalid(f"Functions from '{found.region}' are not reachable in this region ('{call.region}')")
    return found


def tagged(old: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    for key, value in given.items():
        if not 1 <= len(key) <= _KEY:
            raise invalid(f"Tag keys must be between 1 and {_KEY} characters in length.")
        if len(value) > _VALUE:
            raise invalid(f"Tag values must be between 0 and {_VALUE} characters in length.")
        if key.lower().startswith("aws:"):
            raise invalid("Tag keys that begin with aws: are reserved for AWS.")
    if HTTP_TAG in given:
        _check_url(given[HTTP_TAG])
    new = {**old, **given}
    if len(new) > _TAGS:
        raise invalid(f"A function can have no more than {_TAGS} tags.")
    return new


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        right = False
    if not right or any(ord(letter) <= 32 for letter in url):
        raise invalid(f"The tag {HTTP_TAG} holds an http or https URL, not '{url}'.")


def address_of(reader: Reader, target: Target) -> str | None:
    """The URL of a function that is an HTTP address."""
    found = functions.find(reader, target)
    return found.tags.get(HTTP_TAG) if found is not None else None
