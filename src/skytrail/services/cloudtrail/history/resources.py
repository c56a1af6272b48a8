"""The resources that a record names, as the event history shows them: a type and a name."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ....wire import arns


class Resource(NamedTuple):
    type: str
    name: str


class _Record(msgspec.Struct):
    resources: Any = None


_decode = msgspec.json.Decoder(_Record).decode


def resources_of(record: str) -> list[Resource]:
    """The record's resources. A record from elsewhere may hold anything: what has neither type nor ARN is left out."""
    try:
        listed = _decode(record).resources
    except msgspec.DecodeError:
        return []
    found = [_resource(item) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [resource for resource in found if resource.type or resource.name]


def name_of(arn: str) -> str:
    """The name within an ARN: what follows the resource's type; for IAM without the path, for S3 bucket and key."""
    try:
        parsed = arns.parse(arn)
    except ValueError:
        return arn
    resource = parsed.resource.removesuffix(":*")
    if parsed.service == "s3":
        return resource
    if parsed.service == "iam":
        return resource.rpartition("/")[2]
    kinds = [place for place in (resource.find("/"), resource.find(":")) if place >= 0]
    return resource[min(kinds) + 1 :] if kinds else resource


def _resource(item: dict[str, Any]) -> Resource:
    type_, arn = item.get("type"), item.get("ARN") or item.get("arn") or item.get("ARNPrefix")
    return Resource(type_ if isinstance(type_, str) else "", name_of(arn) if isinstance(arn, str) else "")
