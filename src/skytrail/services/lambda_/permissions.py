"""Resource policies: who else may use a function, a version or an alias; and what a call asks permission for.

A function has a policy of its own, and so has each version and alias; a call is weighed by the policy of what it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ...identity.demands import Demand
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import functions
from .common import PRINCIPAL, check_revision, invalid, refused, unsupported
from .configuration import HTTP_TAG
from .naming import LATEST, Target, target, target_of_arn
from .polling import MAPPINGS

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        AddPermissionRequestTypeDef,
        GetPolicyRequestTypeDef,
        RemovePermissionRequestTypeDef,
    )

LONGEST = 20 * 1024

_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_ROLE_OR_USER = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts)::[0-9]{12}:\S+")
_ACTION = re.compile(r"lambda:(\*|[A-Za-z]+)")


class Policy(msgspec.Struct, frozen=True):
    revision: str
    statements: list[dict[str, Any]]

    @property
    def document(self) -> str:
        return orjson.dumps({"Version": "2012-10-17", "Id": "default", "Statement": self.statements}).decode()


#: Under `name:qualifier`; `name:` is the function's own.
POLICIES = Kind("lambda:policy", Policy)


def policy_of(reader: Reader, of: Target) -> Policy | None:
    return reader.get(POLICIES, of.account, of.region, _key(of))


def _key(of: Target) -> str:
    return f"{of.name}:{of.qualifier if of.qualifier not in (None, LATEST) else ''}"


def add_permission(call: Call, request: AddPermissionRequestTypeDef, engines: Engines) -> Change:
    asked = _asked(call, request)
    for name in ("FunctionUrlAuthType", "InvokedViaFunctionUrl"):
        if request.get(name):
            raise unsupported(name, "functions have no URLs")
    statement = _statement(asked, request)
    revision = engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.version_of(tx, asked, functions.existing(tx, asked))
        old = policy_of(tx, asked) or Policy("", [])
        check_revision(request.get("RevisionId"), old.revision, "GetPolicy")
        if any(each["Sid"] == request["StatementId"] for each in old.statements):
            raise refused(
                "ResourceConflictException",
                f"The statement id ({request['StatementId']}) provided already exists. "
                "Please provide a new statement id, or remove the existing statement.",
            )
        new = Policy(revision, [*old.statements, statement])
        if len(new.document) > LONGEST:
            raise refused(
                "PolicyLengthExceededException",
                f"The final policy size ({len(new.document)}) is bigger than the limit ({LONGEST}).",
            )
        tx.put(POLICIES, asked.account, asked.region, _key(asked), new)
        return {"Statement": orjson.dumps(statement).decode()}

    return Change(apply)


def _asked(call: Call, request: Any) -> Target:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))
    if asked.qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    return asked


def _statement(asked: Target, request: AddPermissionRequestTypeDef) -> dict[str, Any]:
    if not _ACTION.fullmatch(request["Action"]):
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{request['Action']}' at 'action' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])",
            status=400,
        )
    statement: dict[str, Any] = {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(asked, request["Principal"]),
        "Action": request["Action"],
        "Resource": asked.qualified,
    }
    equals: dict[str, str] = {}
    if "SourceAccount" in request:
        equals["AWS:SourceAccount"] = request["SourceAccount"]
    if "EventSourceToken" in request:
        equals["lambda:EventSourceToken"] = request["EventSourceToken"]
    if "PrincipalOrgID" in request:
        equals["aws:PrincipalOrgID"] = request["PrincipalOrgID"]
    condition: dict[str, Any] = {"StringEquals": equals} if equals else {}
    if "SourceArn" in request:
        condition["ArnLike"] = {"AWS:SourceArn": request["SourceArn"]}
    if condition:
        statement["Condition"] = condition
    return statement


def _principal(asked: Target, given: str) -> Any:
    if given == "*":
        return "*"
    if arns.is_account(given):
        return {"AWS": arns.format("iam", "", given, "root", arns.partition_of(asked.region))}
    if _ROLE_OR_USER.fullmatch(given):
        return {"AWS": given}
    if _SERVICE.fullmatch(given):
        return {"Service": given}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def remove_permission(call: Call, request: RemovePermissionRequestTypeDef, engines: Engines) -> Change:
    asked, revision = _asked(call, request), engines.ids.uuid()
    wanted = request["StatementId"]

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.existing(tx, asked)
        old = policy_of(tx, asked)
        if old is None:
            raise refused("ResourceNotFoundException", "No policy is associated with the given resource.")
        check_revision(request.get("RevisionId"), old.revision, "GetPolicy")
        left = [each for each in old.statements if each["Sid"] != wanted]
        if len(left) == len(old.statements):
            raise refused("ResourceNotFoundException", f"Statement {wanted} is not found in resource policy.")
        if left:
            tx.put(POLICIES, asked.account, asked.region, _key(asked), Policy(revision, left))
        else:
            tx.delete(POLICIES, asked.account, asked.region, _key(asked))
        return {}

    return Change(apply)


def get_policy(call: Call, request: GetPolicyRequestTypeDef, engines: Engines) -> dict[str, Any]:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))
    functions.existing(engines.store.read, asked)
    found = policy_of(engines.store.read, asked)
    if found is None:
        raise refused("ResourceNotFoundException", "The resource you requested does not exist.")
    return {"Policy": found.document, "RevisionId": found.revision}


# What a call asks permission for


#: Operations whose action has another name.
_ACTIONS = {"Invoke": "InvokeFunction"}
#: Operations that hand a role to functions.
_PASS_ROLE = frozenset({"CreateFunction", "UpdateFunctionConfiguration"})
_ON_ACCOUNT = frozenset({"CreateEventSourceMapping", "GetAccountSettings", "ListEventSourceMappings", "ListFunctions"})


def demands(call: Call, engines: Engines) -> Sequence[Demand] | None:
    assert call.route is not None
    operation, given = call.route.operation.name, call.input or {}
    action = f"lambda:{_ACTIONS.get(operation, operation)}"
    if operation in _ON_ACCOUNT:
        return [Demand(action, "*", context=_of_mapping(call, given))]
    if "UUID" in given:
        mapping = arns.format(
            "lambda", call.region, call.account, f"event-source-mapping:{given['UUID']}", arns.partition_of(call.region)
        )
        found = engines.store.read.get(MAPPINGS, call.account, call.region, given["UUID"])
        context = {"lambda:functionarn": (found.target.qualified,)} if found is not None else {}
        demands = [Demand(action, mapping, context=context)]
        if "FunctionName" in given:
            # Both for the function that loses the mapping and for the one that gets it.
            demands.append(Demand(action, mapping, context=_of_mapping(call, given)))
        return demands
    asked = _named(call, given)
    if asked is None:
        return None
    return _on_function(engines.store.read, asked, operation, action, given)


def _on_function(reader: Reader, asked: Target, operation: str, action: str, given: Any) -> list[Demand]:
    """A policy is attached to what the call names; to name $LATEST is to name the function."""
    policy, function = policy_of(reader, asked), functions.find(reader, asked)
    context = {f"aws:resourcetag/{key.lower()}": (value,) for key, value in function.tags.items()} if function else {}
    if given.get("Tags"):
        context |= {f"aws:requesttag/{key.lower()}": (value,) for key, value in given["Tags"].items()}
    keys = given.get("Tags") or given.get("TagKeys")
    if keys:
        context["aws:tagkeys"] = tuple(keys)
    if "Principal" in given:
        context["lambda:principal"] = (given["Principal"],)
    document = policy.document if policy is not None else None
    found = [Demand(action, asked.qualified, asked.account, document, context=context)]
    if operation in ("TagResource", "UntagResource") and HTTP_TAG in (keys or ()):
        # This tag decides what runs.
        found.append(Demand("lambda:UpdateFunctionCode", asked.qualified, asked.account, document, context=context))
    if operation == "CreateFunction" and given.get("Tags"):
        found.append(Demand("lambda:TagResource", asked.qualified, asked.account, document, context=context))
    if operation in _PASS_ROLE and "Role" in given:
        # Of the function's account: a role of any other is not taken.
        passed = {"iam:passedtoservice": (PRINCIPAL,)}
        found.append(Demand("iam:PassRole", given["Role"], asked.account, context=passed))
    return found


def _of_mapping(call: Call, given: Any) -> dict[str, tuple[str, ...]]:
    asked = _named(call, given)
    return {"lambda:functionarn": (asked.qualified,)} if asked is not None else {}


def _named(call: Call, given: Any) -> Target | None:
    try:
        if "Resource" in given:
            return target_of_arn(given["Resource"])
        if "FunctionName" in given:
            return target(call, given["FunctionName"], given.get("Qualifier"))
    except (ServiceError, ValueError):
        return None
    return None
