"""The model's constraints on a call's input, with AWS's messages.

Each shape is compiled once to a quick test that only says whether a value is right. Only where it is not does a
second, slower walk collect what is wrong, and where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from skytrail.errors import ServiceError

from .patterns import compile_pattern
from .routing import Route

Check = Callable[[Any], bool]

#: AWS lists no more than these.
_MOST_VIOLATIONS = 10
#: A value is shown whole up to this length; AWS shows it whole, but an answer must stay bounded.
_MOST_SHOWN = 16 * 1024
_LENGTHS = frozenset({"string", "blob", "list", "map"})
_NUMBERS = frozenset({"integer", "long", "float", "double"})
_NOT_NULL, _NULL = "Member must not be null", "null"
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Violation:
    """One constraint that one member fails."""

    #: In AWS's form: "lookupAttributes.1.member.attributeKey".
    path: str
    #: "Member must have length less than or equal to 2".
    constraint: str
    #: The value as AWS shows it; None for what is sensitive.
    shown: str | None
    #: The top-level member of the input that it is in.
    member: str

    def sentence(self) -> str:
        value = "Value" if self.shown is None else f"Value {self.shown}"
        return f"{value} at '{self.path}' failed to satisfy constraint: {self.constraint}"


class ValidationFailed(ServiceError):
    def __init__(self, code: str, message: str, violations: Sequence[Violation]) -> None:
        super().__init__(code, message, status=400)
        self.violations = tuple(violations)


#: What a service answers instead of the general error, where it does so; None leaves the general one.
Refusal = Callable[[Route, Sequence[Violation]], ServiceError | None]

#: Services whose constraints answer with a code of their own.
_CODES: Mapping[str, str] = {"logs": "InvalidParameterException"}
_refusals: dict[str, Refusal] = {}
_checks: dict[tuple[str, str], Check | None] = {}


def refuse_with(service: str, refusal: Refusal) -> None:
    """From now on `refusal` decides how this service answers input that fails its model."""
    _refusals[service] = refusal


def validate(route: Route, params: Mapping[str, Any], *, lenient: bool = False) -> None:
    """`lenient` only asks that what is required is there: the operation itself judges the values it is given."""
    key = (route.service.name, route.operation.name)
    try:
        check = _checks[key]
    except KeyError:
        check = _checks[key] = _check_of(route.operation)
    try:
        if check is None or check(params):
            return
        violations = _first_violations(route.operation, params, lenient)
    except RecursionError:
        raise ServiceError("SerializationException", "The input nests too deeply.", status=400) from None
    if violations or not lenient:
        raise _refuse(route, violations)


def _first_violations(operation: OperationModel, params: Mapping[str, Any], lenient: bool) -> list[Violation]:
    found = (each for each in _violations(operation, params) if not lenient or each.shown == _NULL)
    return list(islice(found, _MOST_VIOLATIONS))


def _refuse(route: Route, violations: Sequence[Violation]) -> ServiceError:
    refusal = _refusals.get(route.service.name)
    if refusal is not None and (error := refusal(route, violations)) is not None:
        return error
    plural = "s" if len(violations) > 1 else ""
    sentences = "; ".join(violation.sentence() for violation in violations)
    message = f"{len(violations)} validation error{plural} detected: {sentences}"
    general = "ValidationError" if route.protocol in ("query", "ec2") else "ValidationException"
    return ValidationFailed(_CODES.get(route.service.name, general), message, violations)


# The quick test


def _check_of(operation: OperationModel) -> Check | None:
    return _Compiler().compile(operation.input_shape) if operation.input_shape is not None else None


class _Compiler:
    """Compiles an operation's shapes; a shape that holds itself meets its own compiled form through `_known`."""

    def __init__(self) -> None:
        self._known: dict[str, Check | None] = {}
        self._open: set[str] = set()

    def compile(self, shape: Shape) -> Check | None:
        name = shape.name
        if name in self._known:
            return self._known[name]
        if name in self._open:
            return lambda value: (check := self._known[name]) is None or check(value)
        self._open.add(name)
        self._known[name] = check = self._compile(shape)
        self._open.discard(name)
        return check

    def _compile(self, shape: Shape) -> Check | None:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        return _scalar(shape)

    def _structure(self, shape: StructureShape) -> Check | None:
        if shape.is_document_type:
            return None
        checks: dict[str, Check] = {}
        for name, member in shape.members.items():
            if member.serialization.get("streaming") or member.serialization.get("eventstream"):
                continue
            check = self.compile(member)
            if check is not None:
                checks[name] = check
        required = tuple(shape.required_members)
        if not required and not checks:
            return None

        def check_structure(value: Any) -> bool:
            for name in required:
                if value.get(name) is None:
                    return False
            for name, member in value.items():
                check = checks.get(name)
                if check is not None and member is not None and not check(member):
                    return False
            return True

        return check_structure

    def _list(self, shape: ListShape) -> Check | None:
        least, most = _bounds(shape)
        element = self.compile(shape.member)
        length = _length_check(least, most)
        if element is None and _is_sparse(shape):
            return length
        if element is None:
            # Membership is tested by identity first, so this is quick for any element.
            if length is None:
                return lambda value: None not in value
            return lambda value: length(value) and None not in value
        if _is_sparse(shape):
            return lambda value: (length is None or length(value)) and all(map(element, filter(_is_given, value)))

        def check_list(value: Any) -> bool:
            if (least is not None and len(value) < least) or (most is not None and len(value) > most):
                return False
            for each in value:  # noqa: SIM110 (a generator costs more than a short list does)
                if each is None or not element(each):
                    return False
            return True

        return check_list

    def _map(self, shape: MapShape) -> Check | None:
        least, most = _bounds(shape)
        key, item = self.compile(shape.key), self.compile(shape.value)
        sparse = _is_sparse(shape)
        if key is None and item is None:
            return _length_check(least, most)

        def check_map(value: Any) -> bool:
            if (least is not None and len(value) < least) or (most is not None and len(value) > most):
                return False
            if key is not None and not all(map(key, value)):
                return False
            return item is None or all(sparse if each is None else item(each) for each in value.values())

        return check_map


def _scalar(shape: Shape) -> Check | None:
    checks = [check for _, check in _constraints(shape)]
    if not checks:
        return None
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        one, two = checks
        return lambda value: one(value) and two(value)
    return lambda value: all(check(value) for check in checks)


def _bounds(shape: Shape) -> tuple[Any, Any]:
    return shape.metadata.get("min"), shape.metadata.get("max")


def _length_check(least: Any, most: Any) -> Check | None:
    if most is None:
        return None if not least else lambda value: len(value) >= least
    if not least:
        return lambda value: len(value) <= most
    return lambda value: least <= len(value) <= most


def _constraints(shape: Shape) -> list[tuple[str, Check]]:
    """A shape's own constraints, in the order in which AWS lists them."""
    found: list[tuple[str, Check]] = []
    least, most = _bounds(shape)
    if shape.type_name in _LENGTHS:
        what, measure = "length", len
    elif shape.type_name in _NUMBERS:
        what, measure = "value", _itself
    else:
        return found
    if most is not None:
        sentence = f"Member must have {what} less than or equal to {most}"
        found.append((sentence, lambda value: measure(value) <= most))
    if least is not None:
        found.append(
            (f"Member must have {what} greater than or equal to {least}", lambda value: measure(value) >= least)
        )
    if shape.type_name == "string":
        pattern, values = shape.metadata.get("pattern"), shape.metadata.get("enum")
        if pattern:
            sentence = f"Member must satisfy regular expression pattern: {pattern}"
            found.append((sentence, compile_pattern(pattern).matches))
        if values:
            found.append((f"Member must satisfy enum value set: [{', '.join(values)}]", frozenset(values).__contains__))
    return found


def _itself(value: Any) -> Any:
    return value


# What is wrong


def _violations(operation: OperationModel, params: Mapping[str, Any]) -> Iterator[Violation]:
    shape = operation.input_shape
    if shape is None:
        return
    for name, member in shape.members.items():
        if member.serialization.get("streaming") or member.serialization.get("eventstream"):
            member = None  # noqa: PLW2901
        value = params.get(name)
        if value is None:
            if name in shape.required_members:
                yield Violation(_cased(name), _NOT_NULL, _NULL, name)
        elif member is not None:
            yield from _walk(member, value, _cased(name), name)


def _cased(name: str) -> str:
    return name[:1].lower() + name[1:]


def _walk(shape: Shape, value: Any, path: str, top: str) -> Iterator[Violation]:
    for constraint, check in _constraints(shape):
        if not check(value):
            yield Violation(path, constraint, _shown(shape, value), top)
    if isinstance(shape, StructureShape):
        yield from _walk_structure(shape, value, path, top)
    elif isinstance(shape, ListShape):
        if _is_scalar(shape.member):
            yield from _walk_scalars(shape, shape.member, value, (path, "Member must satisfy constraint"), top)
        else:
            yield from _walk_each(shape, shape.member, enumerate(value, 1), path, top)
    elif isinstance(shape, MapShape):
        yield from _walk_scalars(shape, shape.key, list(value), (path, "Map keys must satisfy constraint"), top, value)
        if _is_scalar(shape.value):
            where = (path, "Map value must satisfy constraint")
            yield from _walk_scalars(shape, shape.value, list(value.values()), where, top, value)
        else:
            yield from _walk_each(shape, shape.value, value.items(), path, top)


def _walk_each(
    owner: Shape, shape: Shape, members: Iterable[tuple[Any, Any]], path: str, top: str
) -> Iterator[Violation]:
    for name, value in members:
        inner = f"{path}.{name}.member"
        if value is None and _is_sparse(owner):
            continue
        if value is None:
            yield Violation(inner, _NOT_NULL, _NULL, top)
        else:
            yield from _walk(shape, value, inner, top)


def _walk_structure(shape: StructureShape, value: Any, path: str, top: str) -> Iterator[Violation]:
    if shape.is_document_type:
        return
    for name, member in shape.members.items():
        inner = f"{path}.{_cased(name)}"
        each = value.get(name)
        if each is not None:
            yield from _walk(member, each, inner, top)
        elif name in shape.required_members:
            yield Violation(inner, _NOT_NULL, _NULL, top)


def _walk_scalars(
    owner: Shape, shape: Shape, values: Sequence[Any], where: tuple[str, str], top: str, whole: Any = _MISSING
) -> Iterator[Violation]:
    """What lists and maps hold directly is judged at the list or map: AWS names all of its constraints in brackets."""
    constraints = _constraints(shape)
    listed = isinstance(owner, ListShape)
    nulls = _is_sparse(owner) or (not constraints and not listed)
    for value in values:
        if (value is None and not nulls) or (value is not None and not all(check(value) for _, check in constraints)):
            sentences = [sentence for sentence, _ in constraints]
            if listed and not _is_sparse(owner):
                sentences.append(_NOT_NULL)
            path, introduction = where
            shown = _shown(owner, values if whole is _MISSING else whole)
            yield Violation(path, f"{introduction}: [{', '.join(sentences)}]", shown, top)
            return


def _is_sparse(shape: Shape) -> bool:
    """botocore has no attribute for it: null is a value in this list or map."""
    return bool(shape._shape_model.get("sparse"))


def _is_given(value: Any) -> bool:
    return value is not None


def _is_scalar(shape: Shape) -> bool:
    return not isinstance(shape, StructureShape | ListShape | MapShape)


def _shown(shape: Shape, value: Any) -> str | None:
    """The value in quotes; None where it is sensitive."""
    if _is_sensitive(shape):
        return None
    text = _rendered(shape, value)
    if len(text) > _MOST_SHOWN:
        text = text[:_MOST_SHOWN] + "..."
    return f"'{text}'"


def _is_sensitive(shape: Shape) -> bool:
    return bool(shape.metadata.get("sensitive"))


def _rendered(shape: Shape, value: Any) -> str:
    """As the Java objects behind AWS print themselves; what is sensitive inside prints as stars."""
    if value is None:
        return "null"
    if _is_sensitive(shape):
        return "***"
    if isinstance(shape, StructureShape):
        if shape.is_document_type:
            return str(value)
        members = shape.members
        parts = (f"{_cased(name)}={_rendered(members[name], each)}" for name, each in value.items() if name in members)
        return f"{shape.name}({', '.join(parts)})"
    if isinstance(shape, ListShape):
        return f"[{', '.join(_limited(_rendered(shape.member, each) for each in value))}]"
    if isinstance(shape, MapShape):
        parts = (f"{_rendered(shape.key, key)}={_rendered(shape.value, each)}" for key, each in value.items())
        return f"{{{', '.join(_limited(parts))}}}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, datetime):
        return value.strftime("%a %b %d %H:%M:%S UTC %Y")
    return str(value)


def _limited(parts: Iterator[str]) -> Iterator[str]:
    """No more of them than can be shown."""
    size = 0
    for part in parts:
        yield part
        size += len(part)
        if size > _MOST_SHOWN:
            return
