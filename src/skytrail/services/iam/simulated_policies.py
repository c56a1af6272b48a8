"""The policies of a simulation: where each comes from, and where its statements stand in its text."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import MalformedPolicy, ServiceError
from ...identity import groups, inline, managed, policy
from ...identity.accounts import User
from ...identity.inline import Holder
from ...identity.policy import Kind, Policy
from ...storage.state import Reader
from ...wire import arns
from . import holders
from .common import missing
from .holders import Entity

#: As results name the kinds of policies.
IDENTITY, RESOURCE = "IAM Policy", "Resource Policy"


@dataclass(slots=True, frozen=True, eq=False)
class Source:
    """A policy, and what results call it."""

    id: str
    text: str
    policy: Policy
    kind: str = IDENTITY
    #: What it is to PolicyExclusionList: `inline`, `aws-managed`, `user-managed`; "" for a document of the call.
    type: str = ""
    #: The ARN of a managed policy.
    arn: str = ""
    #: Of an inline policy: its name, and whose it is.
    name: str = ""
    holder: tuple[Holder, str] | None = None


@dataclass(slots=True, frozen=True)
class Principal:
    """Whose policies are simulated."""

    holder: Holder
    entity: Entity
    arn: str


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInputException", message)


def principal(reader: Reader, account: str, arn: str) -> Principal:
    holder, name = split(arn)
    if arns.parse(arn).account == account:
        entity = holders.existing(reader, account, holder, name)
        if entity.arn(account) == arn:
            return Principal(holder, entity, arn)
    raise missing(f"The entity {arn} cannot be found.")


def split(arn: str) -> tuple[Holder, str]:
    """The kind and the name of a user, group or role, of its ARN."""
    try:
        parsed = arns.parse(arn)
    except ValueError:
        parsed = None
    if parsed is not None and parsed.service == "iam" and arns.is_account(parsed.account):
        kind, _, rest = parsed.resource.partition("/")
        name = rest.rpartition("/")[2]
        for holder in holders.NAME:
            if kind == holder and name:
                return holder, name
    raise invalid(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")


# Where policies come from


def given(documents: Sequence[str], member: str) -> list[Source]:
    """Documents of the call itself."""
    found = [(f"{member}.{number}", text) for number, text in enumerate(documents, 1)]
    return [Source(name, text, _parsed(name, text)) for name, text in found]


def resource(document: str) -> Source:
    return Source("ResourcePolicy", document, _parsed("ResourcePolicy", document, "resource"), RESOURCE)


def held(reader: Reader, account: str, of: Principal) -> list[Source]:
    """What a user, group or role holds; a user's groups' policies are among its own."""
    found = list(_of_entity(reader, account, of.holder, of.entity))
    if isinstance(of.entity, User):
        for name in of.entity.groups:
            group = groups.group(reader, account, name)
            if group is not None:
                found += _of_entity(reader, account, "group", group)
    return found


def boundary(reader: Reader, of: Principal) -> list[Source]:
    """The one that bounds the user or role, or none."""
    arn = holders.boundary_of(of.entity)
    return [_managed(reader, arn)] if arn else []


def _of_entity(reader: Reader, account: str, holder: Holder, entity: Entity) -> Iterator[Source]:
    for name, text in inline.documents(reader, account, holder, entity.name):
        title = f"{holder}_{entity.name}_{name}"
        yield Source(title, text, policy.parse(text), type="inline", name=name, holder=(holder, entity.name))
    for arn in entity.attached:
        yield _managed(reader, arn)


def _managed(reader: Reader, arn: str) -> Source:
    text = managed.document(reader, arn)
    if text is None:
        raise missing(f"Policy {arn} was not found.")
    kind = "aws-managed" if managed.is_aws(arn) else "user-managed"
    return Source(arn.rpartition("/")[2], text, policy.parse(text), type=kind, arn=arn)


def _parsed(name: str, text: str, kind: Kind = "identity") -> Policy:
    try:
        return policy.parse(text, kind)
    except MalformedPolicy as error:
        raise invalid(f"{name}: {error}") from error


# What is left out of a simulation


class Exclusions:
    """What a PolicyExclusionList names; what it names and nobody holds does not matter."""

    def __init__(self, identifiers: Sequence[dict[str, Any]]) -> None:
        self.types: set[str] = set()
        self._arns: list[re.Pattern[str]] = []
        self._inline: list[tuple[str, str, re.Pattern[str]]] = []
        for identifier in identifiers:
            if len(identifier) != 1:
                raise invalid("Each identifier of PolicyExclusionList has exactly one member.")
            if "PolicyType" in identifier:
                self.types.add(identifier["PolicyType"])
            elif "PolicyArn" in identifier:
                self._arns.append(_arn_pattern(identifier["PolicyArn"]))
            else:
                named = identifier["InlinePolicyIdentifier"]
                pattern = _pattern(named["AttachmentName"])
                self._inline.append((named["PolicyName"], named["AttachmentType"], pattern))

    def __contains__(self, source: Source) -> bool:
        if source.type in self.types or any(pattern.fullmatch(source.arn) for pattern in self._arns if source.arn):
            return True
        return source.holder is not None and any(
            (name, kind) == (source.name, source.holder[0]) and pattern.fullmatch(source.holder[1])
            for name, kind, pattern in self._inline
        )


def _arn_pattern(arn: str) -> re.Pattern[str]:
    try:
        parsed = arns.parse(arn)
    except ValueError:
        parsed = None
    if parsed is None or not parsed.resource.startswith("policy/") or set(arn[: -len(parsed.resource)]) & set("*?"):
        raise invalid(f"The identifier {arn} of PolicyExclusionList is not the ARN of a policy.")
    return _pattern(arn)


def _pattern(text: str) -> re.Pattern[str]:
    """`*` once at most, which keeps matching linear; `?` as often as wanted."""
    if text.count("*") > 1:
        raise invalid(f"The identifier {text} of PolicyExclusionList has more than one *.")
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


# Where statements stand


def position(text: str, index: int) -> dict[str, int]:
    """Of the character at `index`: both count from 1."""
    before = text[:index]
    return {"Line": before.count("\n") + 1, "Column": index - before.rfind("\n")}


@functools.lru_cache(maxsize=64)
def places(text: str) -> tuple[tuple[dict[str, int], dict[str, int]], ...]:
    """Where the statements of a document begin and end, by lines and columns."""
    return tuple((position(text, start), position(text, end)) for start, end in spans(text))


def spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where the statements of a document begin and end, as AWS counts it: from after the sign before a statement, to
    after its brace."""
    decoder = json.JSONDecoder()
    index = _after(text, 0, "{")
    while True:
        name, index = decoder.raw_decode(text, _skip(text, index))
        index = _after(text, index, ":")
        start = _skip(text, index)
        value, end = decoder.raw_decode(text, start)
        if name == "Statement":
            return ((index, end),) if isinstance(value, dict) else tuple(_elements(text, start + 1, decoder))
        index = _after(text, end, ",")


def _elements(text: str, index: int, decoder: json.JSONDecoder) -> Iterator[tuple[int, int]]:
    while True:
        _, end = decoder.raw_decode(text, _skip(text, index))
        yield index, end
        index = _skip(text, end) + 1
        if text[index - 1] != ",":
            return


def _skip(text: str, index: int) -> int:
    while text[index] in " \t\r\n":
        index += 1
    return index


def _after(text: str, index: int, sign: str) -> int:
    """After `sign`, which comes next; the document is known to be well formed, so it does."""
    index = _skip(text, index)
    assert text[index] == sign
    return index + 1
