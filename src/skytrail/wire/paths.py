"""Finds a REST operation by method, path and query; compiled once per service."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from botocore.model import OperationModel

from .http import Request
from .models import Service


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One operation at a path, and what must or should be in the request for it to be meant."""

    operation: OperationModel
    #: Query parameters that the template spells out; a None value matches any.
    literals: tuple[tuple[str, str | None], ...]
    #: Required members in the query and in headers: they tell UploadPart from PutObject.
    query: frozenset[str]
    headers: frozenset[str]


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    label: _Node | None = None
    #: A greedy label here takes one segment or more, up to the fixed segments that follow it.
    greedy: list[tuple[list[str], list[_Candidate]]] = field(default_factory=list)
    candidates: list[_Candidate] = field(default_factory=list)


class Paths:
    def __init__(self, service: Service) -> None:
        self._service = service

    @cached_property
    def _methods(self) -> dict[str, _Node]:
        methods: dict[str, _Node] = {}
        for name in sorted(self._service.operation_names):
            operation = self._service.operation(name)
            if operation is None:
                continue
            template, _, query = operation.http["requestUri"].partition("?")
            root = methods.setdefault(operation.http["method"], _Node())
            _insert(root, _segments(template), _candidate(operation, query))
        return methods

    def find(self, request: Request, path: str) -> OperationModel | None:
        root = self._methods.get(request.method)
        if root is None:
            return None
        segments = path.split("/")[1:]
        candidates = _walk(root, segments, 0)
        if candidates is None and segments and segments[-1] == "":
            candidates = _walk(root, segments[:-1], 0)
        if candidates is None:
            return None
        if len(candidates) == 1 and not candidates[0].literals:
            return candidates[0].operation
        return _choose(candidates, request)


def _segments(template: str) -> list[str]:
    segments = template.split("/")[1:]
    return segments[:-1] if segments and segments[-1] == "" else segments


def _candidate(operation: OperationModel, query: str) -> _Candidate:
    parts = [part.partition("=") for part in query.split("&") if part]
    shape = operation.input_shape
    wanted: dict[str, set[str]] = {"querystring": set(), "header": set()}
    for name in shape.required_members if shape is not None else ():
        serialization = shape.members[name].serialization
        if serialization.get("location") in wanted:
            wanted[serialization["location"]].add(serialization.get("name", name))
    # `x-id` only repeats the operation's name.
    return _Candidate(
        operation,
        tuple((key, value or None) for key, _, value in parts if key != "x-id"),
        frozenset(wanted["querystring"]),
        frozenset(name.lower() for name in wanted["header"]),
    )


def _insert(node: _Node, segments: list[str], candidate: _Candidate) -> None:
    for position, segment in enumerate(segments):
        if segment.endswith("+}"):
            suffix = segments[position + 1 :]
            for known, candidates in node.greedy:
                if known == suffix:
                    _file(candidates, candidate)
                    return
            node.greedy.append((suffix, [candidate]))
            node.greedy.sort(key=lambda entry: -len(entry[0]))
            return
        if segment.startswith("{"):
            node.label = node.label or _Node()
            node = node.label
        else:
            node = node.literals.setdefault(segment, _Node())
    _file(node.candidates, candidate)


def _file(candidates: list[_Candidate], candidate: _Candidate) -> None:
    """Kept in the order in which they are tried: most literals first, then most required parameters."""
    candidates.append(candidate)
    candidates.sort(
        key=lambda each: (-len(each.literals), -len(each.query) - len(each.headers), each.operation.deprecated)
    )


def _walk(node: _Node, segments: list[str], position: int) -> list[_Candidate] | None:
    """A literal segment wins over a label, and a label over a greedy one."""
    if position == len(segments):
        return node.candidates or None
    segment = segments[position]
    following = node.literals.get(segment)
    if following is None and "%" in segment:
        following = node.literals.get(unquote(segment))
    found = _walk(following, segments, position + 1) if following is not None else None
    if found is None and node.label is not None and segment:
        found = _walk(node.label, segments, position + 1)
    if found is None:
        for suffix, candidates in node.greedy:
            end = len(segments) - len(suffix)
            taken = end - position
            if (taken > 1 or (taken == 1 and segment)) and segments[end:] == suffix:
                return candidates
    return found


def _choose(candidates: list[_Candidate], request: Request) -> OperationModel | None:
    """The first whose required parameters are all there; else, of those with most literals, what lacks least."""
    query: dict[str, str] = {}
    if request.query:
        for part in request.query.split("&"):
            key, _, value = part.partition("=")
            query.setdefault(unquote(key), value)
    hint = query.get("x-id")
    nearest: _Candidate | None = None
    least = 0
    chosen = None
    for candidate in candidates:
        if nearest is not None and len(candidate.literals) < len(nearest.literals):
            break
        if candidate.literals and (candidate.literals[0][0] not in query or not _spelt_out(candidate.literals, query)):
            continue
        missing = 0
        if candidate.query or candidate.headers:
            missing = sum(name not in query for name in candidate.query)
            missing += sum(name not in request.headers for name in candidate.headers)
        if not missing and hint in (None, candidate.operation.name):
            return candidate.operation
        if not missing and chosen is None:
            chosen = candidate.operation
        if nearest is None or missing < least:
            nearest, least = candidate, missing
    return chosen or (nearest.operation if nearest is not None else None)


def _spelt_out(literals: tuple[tuple[str, str | None], ...], query: dict[str, str]) -> bool:
    return all(key in query and value in (None, unquote(query[key])) for key, value in literals)
