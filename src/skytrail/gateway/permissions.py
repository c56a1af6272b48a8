"""What a call asks permission for: the IAM action, and the ARNs of the resources that its input names.

The shapes of ARNs come from AWS's service authorization reference. A part that the input does not give (a server
makes the id, or the call means all) stands as `*`, which only a policy's own wildcard matches.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from ..audit.classify import classify
from ..audit.resources import partition_of
from ..call import Call
from ..identity.authority import Authority
from ..wire import arns
from ..wire.routing import Route

#: Members that give a part of an ARN under another name than the reference does.
_MEMBERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("cloudtrail", "ChannelId"): ("Channel",),
    ("cloudtrail", "DashboardName"): ("DashboardId", "Name"),
    ("cloudtrail", "EventDataStoreId"): ("EventDataStore",),
    ("cloudtrail", "TrailName"): ("Name",),
    ("events", "ApiDestinationName"): ("Name",),
    ("events", "ArchiveName"): ("ArchiveName",),
    ("events", "ConnectionName"): ("Name",),
    ("events", "EventBusName"): ("EventBusName", "Name"),
    ("events", "ReplayName"): ("ReplayName",),
    ("events", "RuleName"): ("Rule", "Name"),
    ("scheduler", "ScheduleName"): ("Name",),
    ("s3", "BucketName"): ("Bucket",),
    ("s3", "ObjectName"): ("Key",),
    ("sns", "TopicName"): ("Name",),
}
_LONGEST_ARN = 2048
_PLACE = re.compile(r"\$\{([A-Za-z]+)\}")


def action(route: Route) -> str:
    return classify(route.service.name, route.operation).action


def resources(call: Call, authority: Authority) -> list[str]:
    """At least one; `*` where the action knows no resources."""
    route = call.route
    assert route is not None
    templates = [
        template for of_type in classify(route.service.name, route.operation).resources.values() for template in of_type
    ]
    if route.service.name == "iam" and any("user/" in template for template in templates):
        return [_user_arn(call, authority)]
    named: dict[str, None] = {}
    unnamed: dict[str, None] = {}
    for template in templates:
        for arn, given in _filled(template, call):
            (named if given else unnamed)[arn] = None
    return list(named) or list(unnamed)[:1] or ["*"]


def _filled(template: str, call: Call) -> Iterator[tuple[str, bool]]:
    """The ARNs of this shape that the call means, and whether its input names them."""
    parameters = call.input or {}
    shape = _shape(template)
    given = [text for value in parameters.values() for text in _arns(value) if shape.fullmatch(text)]
    if given:
        yield from ((arn, True) for arn in given)
        return
    found = False

    def fill(match: re.Match[str]) -> str:
        nonlocal found
        name = match[1]
        if name == "Region":
            return call.region
        if name == "Account":
            return call.account
        value = _value(call, parameters, name)
        found = found or value is not None
        return "*" if value is None else value

    arn = f"arn:{partition_of(call.region)}:" + _PLACE.sub(fill, template)
    yield arn, found


@functools.cache
def _shape(template: str) -> re.Pattern[str]:
    """What ARNs of a template look like; names may hold colons and slashes, Regions and accounts may not."""
    parts = [part for part in re.split(r"(\$\{[A-Za-z]+\})", template) if part]
    kinds = {"${Region}": "[^:]*", "${Account}": "[^:]*"}
    return re.compile(
        "arn:[a-z-]+:" + "".join(kinds.get(part, ".*") if _PLACE.fullmatch(part) else re.escape(part) for part in parts)
    )


def _arns(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text.startswith("arn:") and len(text) <= _LONGEST_ARN]


def _value(call: Call, parameters: dict[str, Any], name: str) -> str | None:
    assert call.route is not None
    wanted = [name, *_MEMBERS.get((call.route.service.name, name), ())]
    by_name = {member.lower(): value for member, value in parameters.items()}
    for member in wanted:
        value = by_name.get(member.lower())
        if isinstance(value, str) and not value.startswith("arn:"):
            return value
    return None


def _user_arn(call: Call, authority: Authority) -> str:
    """The user that an IAM call is about: the one that it names or whose key it names, else the caller."""
    parameters = call.input or {}
    name = parameters.get("UserName")
    if call.route is not None and call.route.operation.name == "CreateUser":
        return arns.format("iam", "", call.account, f"user{parameters.get('Path', '/')}{name}")
    if not isinstance(name, str):
        key = authority.key(parameters["AccessKeyId"]) if isinstance(parameters.get("AccessKeyId"), str) else None
        if key is not None and key.account == call.account:
            return key.identity.arn
        return call.identity.arn
    user = authority.user(call.account, name)
    return user.arn(call.account) if user is not None else arns.format("iam", "", call.account, f"user/{name}")
