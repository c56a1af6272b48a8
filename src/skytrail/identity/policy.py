"""Policies: read from their documents, and decided by.

What a policy says and this engine cannot evaluate is refused when the policy is put; nothing is ever left out.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from typing import Any

from ..errors import MalformedPolicy
from . import conditions, principal_element
from .decide import Applicable, Match, Verdict, decide
from .patterns import Pattern
from .principal_element import Principals
from .statement import Actions, Ask, Decision, Kind, Policy, Statement, evaluate

__all__ = [
    "EVERYTHING",
    "Applicable",
    "Ask",
    "Decision",
    "Kind",
    "Match",
    "Policy",
    "Statement",
    "Verdict",
    "decide",
    "evaluate",
    "kept",
    "parse",
    "read",
]

_log = logging.getLogger(__name__)

_ELEMENTS = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})
_PRINCIPALS = frozenset({"Principal", "NotPrincipal"})
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9*?._-]+")
#: What a trust policy can allow.
_ASSUMING = (
    "sts:assumerole",
    "sts:assumerolewithsaml",
    "sts:assumerolewithwebidentity",
    "sts:setcontext",
    "sts:setsourceidentity",
    "sts:tagsession",
)


def read(document: str) -> dict[str, Any]:
    """The object that a JSON document is, in which no key is given twice; MalformedPolicy where it is none."""
    try:
        tree = json.loads(document, object_pairs_hook=_object, parse_constant=_constant)
        if "\\u" in document:
            json.dumps(tree, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise MalformedPolicy("Syntax errors in policy.") from error
    if not isinstance(tree, dict):
        raise MalformedPolicy("Syntax errors in policy.")
    return tree


def parse(document: str, kind: Kind = "identity") -> Policy:
    """The policy that a JSON document says; MalformedPolicy where it is none, or says more than can be evaluated.

    The statements of a resource's policy may name no resource: then they mean the policy's own.
    """
    tree = read(document)
    unknown = sorted(tree.keys() - {"Version", "Id", "Statement"})
    if unknown:
        raise MalformedPolicy(f"Syntax errors in policy: unknown element {unknown[0]}.")
    version = tree.get("Version", "2008-10-17")
    if version not in ("2008-10-17", "2012-10-17"):
        raise MalformedPolicy("The policy must contain a valid version string.")
    if not isinstance(tree.get("Id", ""), str):
        raise MalformedPolicy("Syntax errors in policy: Id must be a string.")
    statements = tree.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("Syntax errors in policy: Statement must hold at least one statement.")
    _check_sids(statements, kind)
    variables = version == "2012-10-17"
    return Policy(tuple(_statement(statement, kind, variables=variables) for statement in statements), kind)


def _check_sids(statements: list[Any], kind: Kind) -> None:
    sids = [statement["Sid"] for statement in statements if isinstance(statement, dict) and "Sid" in statement]
    if kind == "resource":
        if not all(isinstance(sid, str) for sid in sids):
            raise MalformedPolicy("Syntax errors in policy: Sid must be a string.")
        return
    if any(not isinstance(sid, str) or not re.fullmatch(r"[A-Za-z0-9]*", sid) for sid in sids):
        raise MalformedPolicy("Statement IDs (SID) must be alpha-numeric.")
    named = [sid for sid in sids if sid]
    if len(set(named)) != len(named):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")


def _statement(tree: Any, kind: Kind, *, variables: bool) -> Statement:
    if not isinstance(tree, dict):
        raise MalformedPolicy("Syntax errors in policy: a statement must be an object.")
    of_resource = kind in ("resource", "trust")
    if not of_resource and _PRINCIPALS & tree.keys():
        raise MalformedPolicy("Policy document should not specify a principal.")
    if kind == "trust":
        for name in ("Resource", "NotResource", "NotPrincipal"):
            if name in tree:
                raise MalformedPolicy(f"Has prohibited field {name}")
    unknown = sorted(tree.keys() - _ELEMENTS - (_PRINCIPALS if of_resource else frozenset()))
    if unknown:
        raise MalformedPolicy(f"Syntax errors in policy: unknown element {unknown[0]}.")
    if tree.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("Syntax errors in policy: Effect must be Allow or Deny.")
    actions, not_actions = _one_of(tree, "Action")
    for text in actions:
        _check_action(text)
    if kind == "trust":
        _check_assuming(actions, not_actions)
    resources: tuple[Pattern, ...] | None = None
    not_resources = False
    if not of_resource or "Resource" in tree or "NotResource" in tree:
        texts, not_resources = _one_of(tree, "Resource")
        resources = tuple(_resource(text, variables) for text in texts)
    principals, not_principals = _principals(tree) if of_resource else (None, False)
    return Statement(
        allows=tree["Effect"] == "Allow",
        actions=Actions(actions),
        not_actions=not_actions,
        resources=resources,
        not_resources=not_resources,
        conditions=conditions.parse(tree.get("Condition", {}), variables=variables),
        principals=principals,
        not_principals=not_principals,
    )


def _principals(tree: dict[str, Any]) -> tuple[Principals, bool]:
    if "Principal" in tree and "NotPrincipal" in tree:
        raise MalformedPolicy("Syntax errors in policy: a statement has Principal or NotPrincipal, not both.")
    negated = "NotPrincipal" in tree
    if not negated and "Principal" not in tree:
        raise MalformedPolicy("Missing required field Principal")
    return principal_element.parse(tree["NotPrincipal" if negated else "Principal"]), negated


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


def _check_action(text: str) -> None:
    if text != "*" and not _ACTION.fullmatch(text):
        raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")


def _check_assuming(actions: list[str], negated: bool) -> None:
    for text in actions:
        assuming = text != "*" and any(Actions((text,)).match(action) for action in _ASSUMING)
        if negated or not assuming:
            raise MalformedPolicy("AssumeRole policy may only specify STS AssumeRole actions.")


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


# Policies as they are used

#: What an account's root may do.
EVERYTHING = parse('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')


@functools.lru_cache(maxsize=512)
def kept(document: str, kind: Kind = "identity") -> Policy:
    """The policy of a document that is kept, so that it was read once already.

    One that cannot be read any more denies everything, since what it denied is not known; only an account's root gets
    past it.
    """
    try:
        return parse(document, kind)
    except MalformedPolicy as error:
        _log.error("A policy that is kept cannot be read and denies everything: %s", error)
        return _unreadable(named=kind in ("resource", "trust"))


def _unreadable(*, named: bool) -> Policy:
    condition = {"StringNotEquals": {"aws:PrincipalType": "Account"}}
    statement = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
    if named:
        statement["Principal"] = "*"
    return parse(json.dumps({"Statement": statement}), "resource" if named else "identity")
