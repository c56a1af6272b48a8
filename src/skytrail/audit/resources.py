"""The resources that a call names: the ARN templates of the service authorization reference, filled from the call.

An ARN that the input or the output carries is taken as it is; else the template is filled from the input's members,
found by name (`TrailName` in `Name` of CreateTrail). A template with a part that is not known yields no resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..wire import arns
from .redact import Rules, Showing

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

    from .classify import Classification

#: Resources in a record, and the longest ARN.
MOST, LONGEST = 50, 2048

VARIABLE = re.compile(r"\$\{(\w+)\}")
#: Members that hold a variable under a name of another kind.
_ALIASES = {"objectname": "key", "queuename": "queueurl", "objectkey": "key"}
_GENERIC = ("name", "id", "arn", "identifier", "resourcearn", "resourceid")

Resources = list[dict[str, str]]
Finder = Callable[[Mapping[str, Any], Mapping[str, Any] | None, str, str], Resources]


@dataclass(slots=True, frozen=True)
class _Template:
    type: str
    service: str
    #: As the reference gives them: a variable, a literal or nothing.
    region: str
    account: str
    #: Text, variable, text, variable ... text.
    pieces: tuple[str, ...]
    #: For each variable the input's members that may hold it, likeliest first.
    members: tuple[tuple[str, ...], ...]
    pattern: re.Pattern[str]

    def fill(self, given: Mapping[str, Any], region: str, account: str) -> Iterable[str]:
        if len(self.members) == 1:
            for name in self.members[0]:
                value = given.get(name)
                for one in value if isinstance(value, list) else (value,):
                    arn = self._whole(one) or self._one(one, region, account)
                    if arn:
                        yield arn
                if value:
                    return
            return
        values = [self._first(given, names) for names in self.members]
        if all(values):
            filled = zip(self.pieces, (*values, ""), strict=True)
            yield self._prefix(region, account) + "".join(piece + (value or "") for piece, value in filled)

    def _prefix(self, region: str, account: str) -> str:
        regional, accounted = (
            region if self.region == "${Region}" else "",
            account if self.account == "${Account}" else "",
        )
        return f"arn:{arns.partition_of(region)}:{self.service}:{regional}:{accounted}:"

    def _whole(self, value: Any) -> str | None:
        if isinstance(value, str) and len(value) <= LONGEST and value.startswith("arn:"):
            return value if self.pattern.fullmatch(value) else None
        return None

    def _one(self, value: Any, region: str, account: str) -> str | None:
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST or value.startswith("arn:"):
            return None
        name: str = value
        if "://" in value:
            place, _, name = value.rstrip("/").rpartition("/")
            owner = place.rpartition("/")[2]
            if self.service == "sqs" and arns.is_account(owner):
                # A queue's URL ends with its account and its name.
                account = owner
        before, after = self.pieces
        if name.startswith("alias/") and before != "alias/":
            return None
        if before.endswith("/"):
            name = name.lstrip("/")
        return self._prefix(region, account) + before + name.removeprefix(before or "\0") + after

    @staticmethod
    def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
        for name in names:
            value = given.get(name)
            if isinstance(value, str) and value and not value.startswith("arn:") and value != "default":
                return value
        return None


def candidates(variable: str, noun: str, members: Mapping[str, str], *, own: bool, generic: bool) -> tuple[str, ...]:
    """The members that may hold a variable of an ARN. `own`: it is the name of the resource itself, not of its parent;
    `generic`: the operation is about this resource, so that its `Name` is this one's."""
    exact = variable.removesuffix("WithPath").lower()
    stem = re.sub(r"(name|identifier|id)$", "", exact)
    names = [exact, _ALIASES.get(exact, exact)]
    for base in dict.fromkeys((stem, noun if own else "")):
        if base:
            names += [base + end for end in ("name", "id", "identifier", "arn", "", "names", "ids", "arns")]
    if own and generic:
        names += _GENERIC
    return tuple(dict.fromkeys(members[name] for name in names if name in members))


def _template(
    resource_type: str,
    template: str,
    members: Mapping[str, str],
    pattern: re.Pattern[str],
    *,
    generic: bool = False,
) -> _Template:
    service, region, account, resource = template.split(":", 3)
    parts = VARIABLE.split(resource)
    noun = resource_type.rpartition("::")[2].lower()
    return _Template(
        type=resource_type,
        service=service,
        region=region,
        account=account,
        pieces=tuple(parts[::2]),
        members=tuple(
            candidates(variable, noun, members, own=position == len(parts) - 2, generic=generic)
            for position, variable in enumerate(parts)
            if position % 2
        ),
        pattern=pattern,
    )


def _pattern(template: str) -> re.Pattern[str]:
    service, _, _, resource = template.split(":", 3)
    pieces = VARIABLE.split(resource)[::2]
    return re.compile(rf"arn:[^:]+:{re.escape(service)}:[^:]*:[^:]*:" + "[^:]+".join(map(re.escape, pieces)))


def _carriers(shape: Shape | None, rules: Rules, depth: int = 0) -> list[tuple[str, ...]]:
    """The members of a shape, at most two levels deep, that may carry an ARN."""
    found: list[tuple[str, ...]] = []
    if shape is None or shape.type_name != "structure" or depth > 1:
        return found
    for name, member in shape.members.items():
        if rules.member(name, member) is not Showing.SHOW:
            continue
        if member.type_name == "string" and name.lower().endswith(("arn", "id", "identifier", "name", "resource")):
            found.append((name,))
        elif member.type_name == "structure":
            found += [(name, *inner) for inner in _carriers(member, rules, depth + 1)]
    return found


def _arns(value: Mapping[str, Any], carriers: list[tuple[str, ...]]) -> Iterable[str]:
    for path in carriers:
        found: Any = value
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str) and found.startswith("arn:") and len(found) <= LONGEST:
            yield found


def _entry(resource_type: str, arn: str, account: str) -> dict[str, str]:
    return {"accountId": arn.split(":", 5)[4] or account, "type": resource_type, "ARN": arn}


@dataclass(slots=True, frozen=True)
class _Finder:
    """Finds the resources that a call of one operation names."""

    data_type: str
    #: Of the resources that the operation names.
    templates: list[_Template]
    #: Those that an ARN is known by: the same, or all of the service where the reference names none for the operation.
    known: list[_Template]
    of_input: list[tuple[str, ...]]
    of_output: list[tuple[str, ...]]

    def __call__(
        self, given: Mapping[str, Any], answered: Mapping[str, Any] | None, region: str, account: str
    ) -> Resources:
        found: dict[str, str] = {}
        for arn in (*_arns(given, self.of_input), *(_arns(answered, self.of_output) if answered else ())):
            type_ = next((each.type for each in self.known if each.pattern.fullmatch(arn)), None)
            if type_ is not None:
                found[arn] = type_
        met = set(found.values())
        for template in self.templates:
            if template.type in met:
                continue
            for arn in template.fill(given, region, account):
                met.add(template.type)
                if len(arn) <= LONGEST:
                    found.setdefault(arn, template.type)
                if len(found) >= MOST:
                    break
        entries = [_entry(type_, arn, account) for arn, type_ in found.items()]
        if self.data_type and self.data_type not in met:
            # Selectors choose data events by this type, so it is there even where no ARN is known.
            entries.append({"accountId": account, "type": self.data_type})
        return entries


def compile_finder(
    operation: OperationModel, classification: Classification, of_service: Mapping[str, tuple[str, ...]], rules: Rules
) -> Finder | None:
    """The function that finds an operation's resources; None where it names none.

    `of_service`: all the templates of the service, to know an ARN by, where the reference names none for the operation.
    """
    types = dict(classification.resources)
    data_type = classification.data_type
    if data_type in of_service:
        types.setdefault(data_type, of_service[data_type])
    shape = operation.input_shape
    members = {
        name.lower(): name
        for name, member in (shape.members.items() if shape is not None else ())
        if rules.member(name, member) is Showing.SHOW
    }
    templates = [
        _template(
            resource_type,
            template,
            members,
            _pattern(template),
            generic=len(types) == 1 or resource_type.rpartition("::")[2].lower() in operation.name.lower(),
        )
        for resource_type, given in types.items()
        for template in sorted(given, key=lambda text: -text.count("${"))
    ]
    of_input, of_output = _carriers(shape, rules, depth=1), _carriers(operation.output_shape, rules)
    known = templates or [
        _template(resource_type, template, {}, _pattern(template))
        for resource_type, given in of_service.items()
        for template in given
    ]
    if not templates and not data_type and not (known and (of_input or of_output)):
        return None
    return _Finder(data_type, templates, known, of_input, of_output)


def s3_resources(
    given: Mapping[str, Any], _answered: Mapping[str, Any] | None, region: str, account: str, *, data: bool
) -> Resources:
    """S3 names the object (or, where a call is about many, their prefix) and then the bucket."""
    bucket, key = given.get("Bucket"), given.get("Key")
    if not isinstance(bucket, str) or not bucket:
        return []
    if bucket.startswith("arn:"):
        return [{"accountId": account, "type": "AWS::S3::AccessPoint", "ARN": bucket[:LONGEST]}]
    arn = f"arn:{arns.partition_of(region)}:s3:::{bucket}"
    entry = {"accountId": account, "type": "AWS::S3::Bucket", "ARN": arn}
    if isinstance(key, str) and key:
        return [{"type": "AWS::S3::Object", "ARN": f"{arn}/{key}"[:LONGEST]}, entry]
    return [{"type": "AWS::S3::Object", "ARNPrefix": f"{arn}/"}, entry] if data else [entry]
