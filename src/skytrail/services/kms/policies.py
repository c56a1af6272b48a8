"""Key policies: stored as they were put, after a check that they are ones and that the caller is not locked out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import MalformedPolicy, ServiceError
from ...identity import conditions, policy
from ...identity.policy import Ask
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines, Outcome, refuse_unevaluated
from . import keys
from .common import addressed, change, own, page
from .keys import POLICIES

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        GetKeyPolicyRequestTypeDef,
        ListKeyPoliciesRequestTypeDef,
        PutKeyPolicyRequestTypeDef,
    )

#: The only policy that a key has.
NAME = "default"
LONGEST = 32 * 1024

_PRINCIPALS = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,124}")
#: Conditions are checked with a key that every request has: which keys can be evaluated is not judged here.
_ANY_KEY = "aws:userid"


def put_key_policy(call: Call, request: PutKeyPolicyRequestTypeDef, engines: Engines) -> Change:
    document = request["Policy"]
    _check_name(request.get("PolicyName", NAME))

    arn = own(call, addressed(engines.store.read, call, request["KeyId"])).arn
    check(call, document, arn, bypass=request.get("BypassPolicyLockoutSafetyCheck", False))
    admit(call, document, engines)

    def apply(tx: Transaction) -> None:
        key = addressed(tx, call, request["KeyId"])
        tx.put(POLICIES, key.account, key.region, key.id, document)

    return change(call, apply)


def get_key_policy(call: Call, request: GetKeyPolicyRequestTypeDef, engines: Engines) -> Outcome:
    key = addressed(engines.store.read, call, request["KeyId"])
    _check_name(request.get("PolicyName", NAME))
    return {"Policy": policy_of(engines.store.read, key.account, key.region, key.id), "PolicyName": NAME}


def list_key_policies(call: Call, request: ListKeyPoliciesRequestTypeDef, engines: Engines) -> Outcome:
    addressed(engines.store.read, call, request["KeyId"])
    return page(call, engines, "PolicyNames", lambda after: [(NAME, NAME)] if after < NAME else [])


def policy_of(reader: Reader, account: str, region: str, key_id: str) -> str:
    """The policy of a key, by the key's id."""
    document = reader.get(POLICIES, account, region, key_id)
    if document is None:
        raise ServiceError("NotFoundException", f"Key '{keys.arn(account, region, f'key/{key_id}')}' does not exist")
    return document


def default_policy(account: str, region: str) -> str:
    """Gives the account's root everything, and so leaves it to IAM who in the account may do what."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": _root(account, region)},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}, indent=2)


def admit(call: Call, document: str, engines: Engines) -> None:
    """Any policy but the default one must be evaluated to have its effect."""
    if json.loads(document) != json.loads(default_policy(call.account, call.region)):
        refuse_unevaluated(engines, "Key policies", "UnsupportedOperationException")


def _root(account: str, region: str) -> str:
    return arns.format("iam", "", account, "root", arns.partition_of(region))


def _check_name(name: str) -> None:
    if name != NAME:
        raise ServiceError("NotFoundException", "No such policy exists")


# Is it a key policy?


def check(call: Call, document: str, key_arn: str, *, bypass: bool) -> None:
    """Raises MalformedPolicyDocumentException where it is none, or would keep its caller from changing it again."""
    if len(document.encode()) > LONGEST:
        raise ServiceError("LimitExceededException", f"The key policy exceeds the maximum size of {LONGEST} bytes.")
    try:
        statements = list(_statements(document))
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocumentException", str(error)) from error
    if bypass:
        return
    ask = Ask("kms:PutKeyPolicy", key_arn, {})
    # A condition may hold or not: an allow with one counts, a deny with one does not.
    of_caller = [
        each.allows
        for principals, each, surely in statements
        if _covers(principals, call) and each.applies(ask) and (each.allows or surely)
    ]
    if not of_caller or not all(of_caller):
        raise ServiceError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        )


Principals = dict[str, list[str]]


def _statements(document: str) -> Iterator[tuple[Principals, policy.Statement, bool]]:
    """Each statement: its principals, the rest of it without its conditions, and whether it has none."""
    tree = policy.read(document)
    given = tree.get("Statement")
    for statement in given if isinstance(given, list) else [given]:
        if not isinstance(statement, dict):
            raise MalformedPolicy("Syntax errors in policy.")
        principals = _principals(statement)
        if not isinstance(statement.get("Sid", ""), str):
            raise MalformedPolicy("Syntax errors in policy: Sid must be a string.")
        _check_conditions(statement.get("Condition", {}), variables=tree.get("Version") == "2012-10-17")
        rest = {name: statement[name] for name in statement.keys() - {"Principal", "Sid", "Condition"}}
        bare = json.dumps({**tree, "Statement": rest})
        yield principals, policy.parse(bare).statements[0], not statement.get("Condition")
    if not given:
        raise MalformedPolicy("Syntax errors in policy: Statement must hold at least one statement.")


def _principals(statement: dict[str, Any]) -> Principals:
    if "NotPrincipal" in statement:
        raise MalformedPolicy("Policy contains a statement with NotPrincipal, which key policies do not support.")
    given = statement.get("Principal")
    if given == "*":
        return {"AWS": ["*"]}
    if not given:
        raise MalformedPolicy("Policy contains a statement with no principal.")
    if not isinstance(given, dict) or given.keys() - _PRINCIPALS:
        raise MalformedPolicy("Policy contains a statement with one or more invalid principals.")
    principals = {kind: texts if isinstance(texts, list) else [texts] for kind, texts in given.items()}
    for kind, texts in principals.items():
        if not texts or not all(isinstance(text, str) and _is_principal(kind, text) for text in texts):
            raise MalformedPolicy("Policy contains a statement with one or more invalid principals.")
    return principals


def _is_principal(kind: str, text: str) -> bool:
    if kind == "Service":
        return _SERVICE.fullmatch(text) is not None
    if kind != "AWS":
        return bool(text)
    return text == "*" or arns.is_account(text) or bool(_UNIQUE_ID.fullmatch(text)) or is_principal_arn(text)


def is_principal_arn(text: str) -> bool:
    try:
        arn = arns.parse(text)
    except ValueError:
        return False
    kinds = {
        "iam": ("user/", "role/"),
        "sts": ("assumed-role/", "federated-user/"),
    }.get(arn.service, ())
    return (
        arns.is_account(arn.account)
        and not arn.region
        and "*" not in arn.resource
        and (arn.resource.startswith(kinds) or (arn.service, arn.resource) == ("iam", "root"))
    )


def _covers(principals: Principals, call: Call) -> bool:
    """Whether the caller is among them, by itself or as one of the account's."""
    identity = call.identity
    names = {"*", identity.account, _root(identity.account, call.region), identity.arn, identity.principal_id}
    if identity.session is not None and identity.session.issuer is not None:
        names.add(identity.session.issuer.get("arn", ""))
    return any(text in names for text in principals.get("AWS", ()))


def _check_conditions(element: Any, *, variables: bool) -> None:
    if not isinstance(element, dict):
        raise MalformedPolicy("Syntax errors in policy: Condition must be an object.")
    for operator, tests in element.items():
        if not isinstance(tests, dict):
            raise MalformedPolicy("Syntax errors in policy: a condition operator needs an object of keys.")
        for key, values in tests.items():
            if ":" not in key:
                raise MalformedPolicy("Syntax errors in policy: a condition key needs the prefix of its service.")
            conditions.parse({operator: {_ANY_KEY: values}}, variables=variables)
