"""Identity-based policies: parsed once, evaluated as pure functions.

The order of IAM: an explicit deny anywhere wins, then an allow, else an implicit deny. What a policy says and this
engine cannot evaluate is refused when the policy is put; nothing is ever left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import MalformedPolicy
from . import conditions
from .conditions import Condition
from .patterns import Context, Pattern

__all__ = ["Ask", "Decision", "Policy", "Statement", "evaluate", "parse"]

_ELEMENTS = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9*?._-]+")


class Decision(Enum):
    ALLOWED = "allowed"
    IMPLICITLY_DENIED = "implicitly denied"
    EXPLICITLY_DENIED = "explicitly denied"


@dataclass(slots=True, frozen=True)
class Ask:
    """May this principal do `action` to `resource`? `context` tells of both."""

    action: str
    resource: str
    context: Context


@dataclass(slots=True, frozen=True)
class Statement:
    allows: bool
    actions: tuple[Pattern, ...]
    #: NotAction, NotResource: everything but these.
    not_actions: bool
    resources: tuple[Pattern, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]

    def applies(self, ask: Ask) -> bool:
        action = ask.action.lower()
        if any(pattern.matches(action, ask.context) for pattern in self.actions) is self.not_actions:
            return False
        return self._covers(ask) and all(condition.holds(ask.context) for condition in self.conditions)

    def _covers(self, ask: Ask) -> bool:
        found = [pattern.matches(ask.resource, ask.context) for pattern in self.resources]
        if not self.not_resources:
            return any(found)
        if not any(found) and None in found:
            # What is excepted is not known, as a variable has no value: then nothing is allowed, everything denied.
            return not self.allows
        return not any(found)


@dataclass(slots=True, frozen=True)
class Policy:
    statements: tuple[Statement, ...]


def evaluate(policies: Iterable[Policy], ask: Ask) -> Decision:
    decision = Decision.IMPLICITLY_DENIED
    for policy in policies:
        for statement in policy.statements:
            if statement.allows and decision is Decision.ALLOWED:
                continue
            if statement.applies(ask):
                if not statement.allows:
                    return Decision.EXPLICITLY_DENIED
                decision = Decision.ALLOWED
    return decision


# Parsing


def read(document: str) -> dict[str, Any]:
    """The object that a JSON document is, in which no key is given twice; MalformedPolicy where it is none."""
    try:
        tree = json.loads(document, object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedPolicy("Syntax errors in policy.") from error
    if not isinstance(tree, dict):
        raise MalformedPolicy("Syntax errors in policy.")
    return tree


def parse(document: str) -> Policy:
    """The policy that a JSON document says; MalformedPolicy where it is none, or says more than can be evaluated."""
    tree = read(document)
    unknown = sorted(tree.keys() - {"Version", "Id", "Statement"})
    if unknown:
        raise MalformedPolicy(f"Syntax errors in policy: unknown element {unknown[0]}.")
    version = tree.get("Version", "2008-10-17")
    if version not in ("2008-10-17", "2012-10-17"):
        raise MalformedPolicy("The policy must contain a valid version string.")
    statements = tree.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("Syntax errors in policy: Statement must hold at least one statement.")
    sids = [statement["Sid"] for statement in statements if isinstance(statement, dict) and "Sid" in statement]
    if any(not isinstance(sid, str) or not re.fullmatch(r"[A-Za-z0-9]*", sid) for sid in sids):
        raise MalformedPolicy("Statement IDs (SID) must be alpha-numeric.")
    named = [sid for sid in sids if sid]
    if len(set(named)) != len(named):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")
    return Policy(tuple(_statement(statement, variables=version == "2012-10-17") for statement in statements))


def _statement(tree: Any, *, variables: bool) -> Statement:
    if not isinstance(tree, dict):
        raise MalformedPolicy("Syntax errors in policy: a statement must be an object.")
    if "Principal" in tree or "NotPrincipal" in tree:
        raise MalformedPolicy("Policy document should not specify a principal.")
    unknown = sorted(tree.keys() - _ELEMENTS)
    if unknown:
        raise MalformedPolicy(f"Syntax errors in policy: unknown element {unknown[0]}.")
    if tree.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("Syntax errors in policy: Effect must be Allow or Deny.")
    actions, not_actions = _one_of(tree, "Action")
    resources, not_resources = _one_of(tree, "Resource")
    return Statement(
        allows=tree["Effect"] == "Allow",
        actions=tuple(_action(text) for text in actions),
        not_actions=not_actions,
        resources=tuple(_resource(text, variables) for text in resources),
        not_resources=not_resources,
        conditions=conditions.parse(tree.get("Condition", {}), variables=variables),
    )


def _one_of(tree: dict[str, Any], name: str) -> tuple[list[str], bool]:
    """The texts of an element or of its negation, and whether it is the negation."""
    if name in tree and f"Not{name}" in tree:
        raise MalformedPolicy(f"Syntax errors in policy: a statement has {name} or Not{name}, not both.")
    negated = f"Not{name}" in tree
    texts = tree.get(f"Not{name}" if negated else name)
    if isinstance(texts, str):
        texts = [texts]
    if not texts:
        raise MalformedPolicy(f"Policy statement must contain {name.lower()}s.")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise MalformedPolicy(f"Syntax errors in policy: {name} must be a string or a list of strings.")
    return texts, negated


def _action(text: str) -> Pattern:
    if text != "*" and not _ACTION.fullmatch(text):
        raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    return Pattern(text, variables=False, fold=True)


def _resource(text: str, variables: bool) -> Pattern:
    if text != "*" and not text.startswith("arn:"):
        raise MalformedPolicy(f'Resource {text} must be in ARN format or "*".')
    pattern = Pattern(text, variables=variables)
    conditions.check_variables(pattern)
    return pattern


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key is given twice")
    return tree


def _constant(text: str) -> Any:
    raise ValueError(text)
