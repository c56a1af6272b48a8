"""What a call asks permission for: actions, on the ARNs of the resources that its input names.

The ARN templates of the service authorization reference are filled from the input's members, found by name wherever
they are: in lists, as keys of maps, in nested structures. What is checked must be what the service finds by them, so
names are taken to the letter. Where a part is not known, `*` stands for it: only a policy's own wildcard allows that,
and a deny that may be about it holds.

Some calls are made of others (a transaction's parts): each part is asked for as what it is (data/compound_calls.json).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ..wire import arns
from . import data_files
from .classify import classify
from .resources import LONGEST, VARIABLE, candidates

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

#: Resources of one call that are asked about one by one; of more it is asked about all that there can be.
MOST = 500

#: Variables that the members `Name`, `Names` and `Path` hold.
_NAMES = {
    "cloudtrail": ("DashboardName", "TrailName"),
    "events": ("ApiDestinationName", "ConnectionName", "EventBusName", "RuleName"),
    "scheduler": ("ScheduleName",),
    "sns": ("TopicName",),
    "ssm": ("DocumentName", "ParameterNameWithoutLeadingSlash"),
}
_NAMING = ("name", "names", "path")
#: Ends of the names of members that hold whole ARNs.
_CARRYING = ("arn", "arnlist", "arns", "identifier", "identifiers", "insightsource", "resource", "resources",
             "resourceid", "resourceidlist", "resourceids", "resourcename")  # fmt: skip

#: The values of an input's members, under the members' names in lower case.
Values = Mapping[str, tuple[str, ...]]


class Asked(NamedTuple):
    action: str
    #: "*" where the action knows no resources.
    arn: str
    #: Whether a `*` in the ARN stands for what is not known.
    unknown: bool = False


def asked(
    service_name: str, operation: OperationModel, given: Mapping[str, Any], region: str, account: str
) -> list[Asked]:
    """At least one."""
    compound = data_files.load("compound_calls.json").get(service_name, {})
    parts = compound.get("calls", {}).get(operation.name)
    found: dict[Asked, None] = {}
    for part in parts or ():
        other = operation.service_model.operation_model(part["as"])
        prefix = classify(service_name, other).action.partition(":")[0]
        for each in _at(given, part["path"]):
            actions = [classify(service_name, other).action]
            if "verb" in part:
                verbs = _verb(each.get(part["verb"]), compound["verbs"])
                actions = [f"{prefix}:{action}" for action in verbs]
            elif "action" in part:
                actions = [f"{prefix}:{part['action']}"]
            arns_asked = _resources(service_name, other, {} if "verb" in part else each, region, account)
            found.update((Asked(action, *one), None) for action in actions for one in arns_asked)
        if len(found) > MOST:
            anything = _plan(service_name, other).anything(region, account)
            found = {Asked(each.action, *anything): None for each in found}
    action = classify(service_name, operation).action
    return list(found) or [Asked(action, *one) for one in _resources(service_name, operation, given, region, account)]


def _at(given: Any, path: list[str]) -> Iterator[Mapping[str, Any]]:
    if isinstance(given, list):
        for each in given:
            yield from _at(each, path)
    elif isinstance(given, Mapping):
        if not path:
            yield given
        elif path[0] in given:
            yield from _at(given[path[0]], path[1:])


def _verb(statement: Any, verbs: Mapping[str, str]) -> list[str]:
    """The action of a statement in a query language; all of them where it begins like none."""
    first = re.match(r"[\s(]*([A-Za-z]+)", statement) if isinstance(statement, str) else None
    action = verbs.get(first[1].lower()) if first is not None else None
    return [action] if action is not None else sorted(set(verbs.values()))


# Resources


def _resources(
    service_name: str, operation: OperationModel, given: Mapping[str, Any], region: str, account: str
) -> list[tuple[str, bool]]:
    """The ARNs, and whether a part of each is not known."""
    plan = _plan(service_name, operation)
    if not plan.templates:
        return [("*", False)]
    named: dict[str, bool] = {}
    optional: dict[str, bool] = {}
    for scope in _scopes(plan.tree, given, {}) if plan.tree is not None else ():
        for template in plan.templates:
            for arn, unknown in template.fill(scope, region, account):
                # What is not told of it, though it could be, is not meant where something else is named wholly.
                (optional if unknown and template.is_optional(scope) else named)[arn] = unknown
        if len(named) + len(optional) > MOST:
            return [plan.anything(region, account)]
    if all(named.values()):
        named |= optional
    return list(named.items()) or [plan.anything(region, account)]


@dataclass(slots=True, frozen=True)
class _Template:
    type: str
    service: str
    #: As the reference gives them: a variable, a literal or nothing.
    region: str
    account: str
    #: Text, variable, text, variable ... text.
    pieces: tuple[str, ...]
    #: For each variable the members that may hold it, likeliest first.
    members: tuple[tuple[str, ...], ...]
    pattern: re.Pattern[str]

    def fill(self, scope: Values, region: str, account: str) -> Iterator[tuple[str, bool]]:
        """The ARNs of this kind that the values name, if only in part."""
        whole = False
        for name, values in scope.items():
            if name.endswith(_CARRYING) or any(name in names for names in self.members):
                for value in () if name.endswith("url") else values:
                    if value.startswith("arn:") and len(value) <= LONGEST and self.pattern.fullmatch(value):
                        whole = True
                        yield value, False
        found = [self._values(scope, names, before) for names, before in zip(self.members, self.pieces, strict=False)]
        known = all(found)
        if not known and (whole or not (any(found) or self._is_left_open(scope))):
            return
        prefix = self._prefix(region, account)
        for chosen in itertools.islice(itertools.product(*(each or ("*",) for each in found)), MOST + 1):
            filled = zip(self.pieces, (*chosen, ""), strict=True)
            yield prefix + "".join(piece + value for piece, value in filled), not known

    def is_optional(self, scope: Values) -> bool:
        """Whether the call could have told what is not known of it, and does so nowhere."""
        return all(self.members) and not self._is_left_open(scope)

    def _is_left_open(self, scope: Values) -> bool:
        return any(scope.get(name) == () for names in self.members for name in names)

    def nothing(self, region: str, account: str) -> str:
        return self._prefix(region, account) + "*".join(self.pieces)

    def _prefix(self, region: str, account: str) -> str:
        regional = region if self.region == "${Region}" else VARIABLE.sub("*", self.region)
        accounted = account if self.account == "${Account}" else VARIABLE.sub("*", self.account)
        return f"arn:{arns.partition_of(region)}:{self.service}:{regional}:{accounted}:"

    @staticmethod
    def _values(scope: Values, names: tuple[str, ...], before: str) -> list[str]:
        for name in names:
            found = []
            for value in scope.get(name, ()):
                if name.endswith("url"):
                    found.append(_last_segment(value) or "*")
                elif not value.startswith("arn:"):
                    bare = value.removeprefix(before) if before == "alias/" else value
                    found.append(bare.removeprefix("/") if before.endswith("/") else bare)
            if found:
                return found
        return []


def _last_segment(url: str) -> str | None:
    """As SQS finds the queue that a URL names."""
    try:
        parts = [part for part in urlsplit(url).path.split("/") if part]
    except ValueError:
        return None
    return unquote(parts[-1]) if parts else None


# Where names are in an input


@dataclass(slots=True, frozen=True)
class _Node:
    """A part of an input, with what is worth to be looked at in it."""

    #: Members that hold a text, or a list of texts -> their names in lower case.
    texts: Mapping[str, str]
    below: Mapping[str, _Node]
    #: Of a list or a map: of each of its members.
    each: _Node | None = None
    #: Of a map: the name that its keys go by.
    keys: str = ""


def _node(shape: Shape, wanted: frozenset[str], known: dict[str, _Node | None], *, top: bool = True) -> _Node | None:
    """None where nothing is worth it; what a shape holds of itself is not looked at."""
    if shape.name not in known:
        known[shape.name] = None
        known[shape.name] = _new_node(shape, wanted, known, top=top)
    return known[shape.name]


def _new_node(shape: Shape, wanted: frozenset[str], known: dict[str, _Node | None], *, top: bool) -> _Node | None:
    if shape.type_name == "list":
        each = _node(shape.member, wanted, known, top=False)
        return _Node({}, {}, each) if each is not None else None
    if shape.type_name == "map":
        keys = shape.key.name.lower()
        keys = keys if keys in wanted else ""
        each = _node(shape.value, wanted, known, top=False)
        return _Node({}, {}, each, keys) if keys or each is not None else None
    texts: dict[str, str] = {}
    below: dict[str, _Node] = {}
    for name, member in shape.members.items() if shape.type_name == "structure" else ():
        folded = name.lower()
        if _is_text(member):
            if folded in wanted and (top or folded not in _NAMING):
                texts[name] = folded
        elif (found := _node(member, wanted, known, top=False)) is not None:
            below[name] = found
    return _Node(texts, below) if texts or below or top else None


def _is_text(shape: Shape) -> bool:
    kind: str = shape.member.type_name if shape.type_name == "list" else shape.type_name
    return kind == "string"


def _names(shape: Shape, met: set[str]) -> Iterator[str]:
    """The names of all texts in an input."""
    if shape.name in met:
        return
    met.add(shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if _is_text(member):
                yield name.lower()
            else:
                yield from _names(member, met)
    elif shape.type_name == "list":
        yield from _names(shape.member, met)
    elif shape.type_name == "map":
        yield shape.key.name.lower()
        yield from _names(shape.value, met)


def _scopes(node: _Node, value: Any, inherited: Values, expected: Iterable[str] = ()) -> Iterator[Values]:
    """For each structure that names something: its values, and those of the structures around it. `expected`: what its
    neighbours in a list name; where it does not, there is no value."""
    if node.keys or node.each is not None:
        items = list(value.items()) if isinstance(value, Mapping) else [("", each) for each in _list(value)]
        told = {
            folded
            for name, folded in (node.each.texts.items() if node.each is not None else ())
            if any(isinstance(each, Mapping) and _texts(each.get(name)) for _, each in items)
        }
        for key, each in items:
            here = {**inherited, node.keys: (key,)} if node.keys else inherited
            if node.keys:
                yield here
            if node.each is not None:
                yield from _scopes(node.each, each, here, told)
    elif isinstance(value, Mapping):
        own: dict[str, tuple[str, ...]] = {name: () for name in expected if name not in inherited}
        own |= {folded: texts for name, folded in node.texts.items() if (texts := _texts(value.get(name)))}
        local = {**inherited, **own}
        if own or not inherited:
            yield local
        for name, inner in node.below.items():
            if name in value:
                yield from _scopes(inner, value[name], local)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in (value if isinstance(value, list) else (value,)) if isinstance(each, str) and each)


# Compiled once for each operation


@dataclass(slots=True, frozen=True)
class _Plan:
    operation: str
    templates: tuple[_Template, ...]
    tree: _Node | None

    def anything(self, region: str, account: str) -> tuple[str, bool]:
        """What stands for all that the call may be about. What it makes is none of the resources that there are."""
        made = [
            template
            for template in self.templates
            if self.operation.lower() == "create" + template.type.rpartition("::")[2].lower()
        ]
        found = [template.nothing(region, account) for template in made[:1] or self.templates]
        common = found[0] if len(found) == 1 else _beginning(found) + "*"
        return common, not made


def _beginning(texts: list[str]) -> str:
    """What all of them begin with, up to the first part that is not known."""
    same = itertools.takewhile(lambda letters: len(set(letters)) == 1 and letters[0] != "*", zip(*texts, strict=False))
    return "".join(letters[0] for letters in same)


@cache
def _plan(service_name: str, operation: OperationModel) -> _Plan:
    """With all the input's members, also the hidden ones."""
    shape = operation.input_shape
    names = {name: name for name in _names(shape, set())} if shape is not None else {}
    templates = tuple(
        _template(resource_type, template, names, _NAMES.get(service_name, ()))
        for resource_type, given in classify(service_name, operation).resources.items()
        for template in given
    )
    wanted = frozenset(
        name
        for name in names
        if name.endswith(_CARRYING) or any(name in each for one in templates for each in one.members)
    )
    tree = _node(shape, wanted, {}) if shape is not None and templates else None
    return _Plan(operation.name, templates, tree)


def _template(resource_type: str, template: str, names: Mapping[str, str], named: Iterable[str]) -> _Template:
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
            _members(variable, noun, names, own=position == len(parts) - 2, named=variable in named)
            for position, variable in enumerate(parts)
            if position % 2
        ),
        pattern=_pattern(template),
    )


def _members(variable: str, noun: str, names: Mapping[str, str], *, own: bool, named: bool) -> tuple[str, ...]:
    found = list(candidates(variable, noun, names, own=own, generic=False))
    if own and f"{noun}s" in names:
        found.append(f"{noun}s")
    if own and named:
        found += [name for name in _NAMING if name in names]
    return tuple(dict.fromkeys(found))


def _pattern(template: str) -> re.Pattern[str]:
    """It must miss none: names may hold colons and slashes, Regions and accounts may not."""
    service, region, account, resource = template.split(":", 3)
    head = ("[^:]*" if "$" in part else re.escape(part) for part in (region, account))
    pieces = VARIABLE.split(resource)[::2]
    return re.compile(":".join(("arn:[a-z-]+", re.escape(service), *head, ".*".join(map(re.escape, pieces)))))
