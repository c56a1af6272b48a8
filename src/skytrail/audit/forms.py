"""The forms of services whose records do not look like the others'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from . import data_files
from .parameters import Budget, Form, Moments, Walk, lower_first

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape


class Timed(Form):
    """The common form, with another form of timestamps."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments


class Unchanged(Form):
    """Members spelt as the API spells them."""

    def member(self, name: str, shape: Shape) -> str | None:  # noqa: ARG002
        return name


# S3: parameters as they were on the wire: query and headers by their names, bodies as their XML.


def _as_text(walk: Walk) -> Walk:
    def with_text(value: Any, budget: Budget) -> Any:
        found = walk(value, budget)
        if type(found) is bool:
            return "true" if found else "false"
        return str(found) if type(found) in (int, float) else found

    return with_text


def _policy(walk: Walk) -> Walk:
    """A policy is shown as the JSON that it is."""

    def policy(value: Any, budget: Budget) -> Any:
        found = walk(value, budget)
        if budget.cut or type(found) is not str or not found.lstrip().startswith("{"):
            return found
        try:
            return orjson.loads(found)
        except orjson.JSONDecodeError:
            return found

    return policy


def _with_namespace(walk: Walk, uri: str) -> Walk:
    def with_namespace(value: Any, budget: Budget) -> Any:
        budget.left -= len(uri) + 12
        found = walk(value, budget)
        return {"xmlns": uri, **found} if type(found) is dict else found

    return with_namespace


class S3(Form):
    moments: Moments = "iso"

    def member(self, name: str, shape: Shape) -> str | None:
        location, wire = shape.serialization.get("location"), str(shape.serialization.get("name", name))
        if location == "uri":
            return {"Bucket": "bucketName", "Key": "key"}.get(name, wire)
        if location == "headers" or (location == "header" and not wire.startswith("x-amz-")):
            return None
        if location is None and name == "Policy":
            return "bucketPolicy"
        return wire

    def listed(self, shape: Shape, found: list[Any]) -> Any:
        if shape.serialization.get("location") == "header":
            return ",".join(map(str, found))
        content = found[0] if len(found) == 1 else found
        if shape.serialization.get("flattened"):
            return content
        return {str(shape.member.serialization.get("name", "member")): content} if found else ""

    def value(self, shape: Shape, walk: Walk) -> Walk:
        if shape.serialization.get("location") in ("header", "querystring"):
            return _as_text(walk)
        namespace = shape.serialization.get("xmlNamespace")
        if namespace and shape.type_name == "structure":
            return _with_namespace(walk, str(namespace["uri"]))
        return _policy(walk) if shape.name == "Policy" else walk


def s3_constants(operation: OperationModel) -> dict[str, str]:
    """What the request's own address says: the sub-resource (`"policy": ""`), the kind of list."""
    query = str(operation.http.get("requestUri", "")).partition("?")[2]
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {name: value for name, _, value in pairs if not name.startswith("x-id")}


# EC2: lists are sets of items; newer operations are shown as their request and response, wrapped in their names.


def _wire(name: str, shape: Shape) -> str:
    return str(shape.serialization.get("queryName") or shape.serialization.get("name") or name)


class Ec2Request(Form):
    moments: Moments = "milliseconds"

    def member(self, name: str, shape: Shape) -> str | None:
        if shape.type_name == "list":
            known: str | None = data_files.load("ec2.json")["sets"].get(name)
            return known or lower_first(_wire(name, shape)) + "Set"
        return lower_first(_wire(name, shape))

    def listed(self, shape: Shape, found: list[Any]) -> Any:
        if shape.name == "TagList":
            return found
        if not found:
            return {}
        if shape.member.type_name in ("structure", "list", "map"):
            return {"items": found}
        item = lower_first(str(shape.serialization.get("name") or shape.member.serialization.get("name") or "item"))
        item = data_files.load("ec2.json")["items"].get(item, item)
        return {"items": [{item: element} for element in found]}


class Ec2Response(Form):
    moments: Moments = "milliseconds"

    def member(self, name: str, shape: Shape) -> str | None:
        return "_return" if name == "Return" else lower_first(_wire(name, shape))

    def listed(self, shape: Shape, found: list[Any]) -> Any:  # noqa: ARG002
        return {"items": found} if found else {}


class Ec2Wrapped(Form):
    """Lists by what they hold: one element as itself, several numbered by `tag`, none as an empty text."""

    moments: Moments = "iso"

    def __init__(self, *, request: bool) -> None:
        self._request = request

    def member(self, name: str, shape: Shape) -> str | None:
        wire = _wire(name, shape)
        return wire[:1].upper() + wire[1:] if self._request else lower_first(wire)

    def listed(self, shape: Shape, found: list[Any]) -> Any:  # noqa: ARG002
        if not self._request:
            return {"item": found[0] if len(found) == 1 else found} if found else ""
        numbered = [
            {**element, "tag": index} if isinstance(element, dict) else {"content": element, "tag": index}
            for index, element in enumerate(found, 1)
        ]
        return numbered[0] if len(numbered) == 1 else numbered


def ec2_wraps(operation_name: str) -> bool:
    return operation_name in data_files.load("ec2.json")["wrapped"].split()


def ec2_renamed(operation_name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Some operations have names of their own for what others call otherwise."""
    names = data_files.load("ec2.json")["renamed"].get(operation_name)
    if not names:
        return parameters
    renamed = {names.get(name, name): value for name, value in parameters.items()}
    tags = renamed.get("tagSet")
    return {**renamed, "tagSet": {"items": tags}} if type(tags) is list else renamed


def ec2_instances(parameters: dict[str, Any]) -> dict[str, Any]:
    """RunInstances names what it starts inside `instancesSet`."""
    names = data_files.load("ec2.json")["instances"]
    instance = {name: parameters[name] for name in names if name in parameters}
    rest = {name: value for name, value in parameters.items() if name not in instance}
    return {"instancesSet": {"items": [instance]}, **rest}
