"""The global condition keys of a call: who calls, from where, when, and what for."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..call import Call
from ..identity.principals import Identity, Session
from ..wire import arns

Values = dict[str, tuple[str, ...]]

_TYPES = {"IAMUser": "User", "Root": "Account", "AWSAccount": "Anonymous", "Unknown": "Anonymous"}
#: Members of inputs that carry tags, and those that carry the keys of tags alone.
_TAGS = ("Tags", "tags", "TagList", "TagsList")
_TAG_KEYS = ("TagKeys", "tagKeys", "TagKeyList")
_KEY, _VALUE = ("Key", "key", "TagKey"), ("Value", "value", "TagValue")
#: S3 has condition keys of its own for the tags of requests.
_OWN_TAGS = frozenset({"s3"})
#: Services that do not tell the older key for the account that they act for, by which topics let services in that
#: have no statement of their own.
_WITHOUT_OWNER = frozenset({"cloudtrail.amazonaws.com"})


def common(call: Call, tags: Iterable[tuple[str, str]]) -> Values:
    """What all demands of the call share; a key that the call does not have is left out. `tags`: those of the user or
    role that calls."""
    identity, headers = call.identity, call.request.headers
    found = {
        "aws:currenttime": _iso(int(call.received)),
        "aws:epochtime": str(int(call.received)),
        "aws:requestedregion": call.region,
        "aws:securetransport": "true" if call.source.tls is not None else "false",
        "aws:viaawsservice": "false",
    }
    optional = {
        "aws:referer": headers.get("referer"),
        "aws:sourceip": _address(call.source.address),
        "aws:useragent": headers.get("user-agent"),
    }
    found.update({key: value for key, value in optional.items() if value})
    values: Values = {key: (value,) for key, value in found.items()}
    if identity.type == "AWSService":
        values.update(_of_service(call, identity))
    else:
        values.update(_of_principal(call, identity, tags))
    values.update(_of_tags(call))
    return values


def _of_service(call: Call, identity: Identity) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A service that calls as itself, for a resource of somebody's."""
    name, _, domain = identity.invoked_by.partition(".")
    yield "aws:principalisawsservice", ("true",)
    yield "aws:principalservicename", (identity.invoked_by,)
    yield "aws:principalservicenameslist", (identity.invoked_by, f"{name}.{call.region}.{domain}")
    account = identity.account
    if call.source_arn:
        yield "aws:sourcearn", (call.source_arn,)
        parts = call.source_arn.split(":", 5)
        account = parts[4] if len(parts) == 6 and arns.is_account(parts[4]) else account
    yield "aws:sourceaccount", (account,)
    if identity.invoked_by not in _WITHOUT_OWNER:
        yield "aws:sourceowner", (account,)


def _of_principal(
    call: Call, identity: Identity, tags: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "aws:principaltype", (_TYPES.get(identity.type, identity.type),)
    if not identity.arn:
        yield "aws:principalaccount", ("anonymous",)
        yield "aws:userid", ("anonymous",)
        return
    session = identity.session
    issuer = (session.issuer if session is not None else None) or {}
    yield "aws:principalisawsservice", ("false",)
    yield "aws:principalaccount", (identity.account,)
    # A role's session goes by the ARN of the role.
    of_role = identity.type == "AssumedRole" and "arn" in issuer
    yield "aws:principalarn", (issuer["arn"] if of_role else identity.arn,)
    if identity.principal_id:
        yield "aws:userid", (identity.principal_id,)
    if identity.type == "IAMUser":
        yield "aws:username", (identity.user_name,)
    if identity.invoked_by:
        yield "aws:viaawsservice", ("true",)
        for key in ("aws:calledvia", "aws:calledviafirst", "aws:calledvialast"):
            yield key, (identity.invoked_by,)
    # A session's tags stand before those of the same key that the user or role has.
    for key, value in tags:
        yield f"aws:principaltag/{key.lower()}", (value,)
    if session is not None:
        yield from _of_session(call, session)


def _of_session(call: Call, session: Session) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "aws:tokenissuetime", (_iso(int(session.created)),)
    yield "aws:multifactorauthpresent", ("true" if session.mfa else "false",)
    if session.mfa:
        yield "aws:multifactorauthage", (str(max(0, int(call.received - session.created))),)
    if session.source_identity:
        yield "aws:sourceidentity", (session.source_identity,)
    if session.provider:
        yield "aws:federatedprovider", (session.provider,)
    for key, value in session.tags:
        yield f"aws:principaltag/{key.lower()}", (value,)


def _of_tags(call: Call) -> Values:
    """The tags that the request brings, and the keys of those that it is about."""
    given = call.input or {}
    if call.route is None or call.route.service.name in _OWN_TAGS:
        return {}
    found: Values = {}
    keys: list[str] = []
    for member in _TAGS:
        for key, value in _pairs(given.get(member)):
            found[f"aws:requesttag/{key.lower()}"] = (value,)
            keys.append(key)
    for specification in _list(given.get("TagSpecifications")):
        if isinstance(specification, dict):
            for key, value in _pairs(specification.get("Tags")):
                found[f"aws:requesttag/{key.lower()}"] = (value,)
                keys.append(key)
    for member in _TAG_KEYS:
        keys += [key for key in _list(given.get(member)) if isinstance(key, str)]
    if keys:
        found["aws:tagkeys"] = tuple(dict.fromkeys(keys))
    return found


def _pairs(tags: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tags, Mapping):
        yield from ((key, value) for key, value in tags.items() if isinstance(key, str) and isinstance(value, str))
    for tag in _list(tags):
        if isinstance(tag, dict):
            key = next((tag[name] for name in _KEY if name in tag), None)
            value = next((tag[name] for name in _VALUE if name in tag), "")
            if isinstance(key, str) and isinstance(value, str):
                yield key, value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@functools.lru_cache(maxsize=256)
def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
