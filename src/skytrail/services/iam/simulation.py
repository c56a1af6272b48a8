"""What policies would allow: the decisions that enforced mode makes, without the calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...audit import data_files
from ...call import Call
from ...identity import accounts, policy
from ...identity.policy import Decision
from ...identity.principals import Identity, Session
from ...storage.state import Reader
from ...wire import arns
from ..engines import Engines
from . import context_keys, simulated_policies
from .common import cut
from .simulated_policies import IDENTITY, RESOURCE, Exclusions, Source, invalid
from .simulation_context import entries

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import SimulateCustomPolicyRequestTypeDef, SimulatePrincipalPolicyRequestTypeDef

#: Actions times resources of one call.
MOST_COMBINATIONS = 10_000

_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9._-]+")
_SHOWN = {
    Decision.ALLOWED: "allowed",
    Decision.IMPLICITLY_DENIED: "implicitDeny",
    Decision.EXPLICITLY_DENIED: "explicitDeny",
}
_RESTRICTIVE = (Decision.EXPLICITLY_DENIED, Decision.IMPLICITLY_DENIED, Decision.ALLOWED)


@dataclass(slots=True, frozen=True)
class _Result:
    """Of one action on one resource."""

    resource: str
    decision: Decision
    matched: tuple[tuple[Source, int], ...]
    #: By kind of policy, where the resource is another account's; None where it is not.
    details: Mapping[str, Decision] | None
    #: None where there is no boundary.
    within_boundary: bool | None


@dataclass(slots=True, frozen=True)
class _Simulation:
    identity: Sequence[Source]
    boundary: Source | None
    resource: Source | None
    #: Who calls; None where nobody is named.
    caller: Identity | None
    account: str
    #: Of the resources whose ARNs name no account.
    owner: str
    context: Mapping[str, tuple[str, ...]]

    def missing(self) -> list[str]:
        """The condition keys that the policies ask for and that are not there."""
        sources = [*self.identity, *([self.resource] if self.resource is not None else [])]
        wanted = context_keys.of_documents(source.text for source in sources)
        return [key for key in wanted if key.lower() not in self.context]

    def run(self, action: str, resource: str) -> _Result:
        ask = policy.Ask(action, resource, self.context, self.caller)
        applicable = policy.Applicable(
            identity=tuple(source.policy for source in self.identity),
            boundary=self.boundary.policy if self.boundary is not None else None,
            resource=self.resource.policy if self.resource is not None else None,
        )
        # Without the resource's policy nothing is known of its account: then the caller's side alone decides.
        owner = self._owner(resource) if self.resource is not None else self.account
        verdict = policy.decide(ask, applicable, account=self.account, owner=owner)
        details: dict[str, Decision] | None = None
        if owner != self.account and applicable.resource is not None:
            details = {
                IDENTITY: policy.evaluate(applicable.identity, ask),
                RESOURCE: policy.evaluate((applicable.resource,), ask),
            }
        bounding = applicable.boundary
        return _Result(
            resource=resource,
            decision=verdict.decision,
            matched=tuple(self._sources(verdict.matched)),
            details=details,
            within_boundary=None if bounding is None else policy.evaluate((bounding,), ask) is Decision.ALLOWED,
        )

    def _owner(self, resource: str) -> str:
        parts = resource.split(":", 5)
        return parts[4] if len(parts) == 6 and arns.is_account(parts[4]) else self.owner

    def _sources(self, matched: Iterable[policy.Match]) -> Iterable[tuple[Source, int]]:
        """Statements of the boundary are not told of."""
        sources = [*self.identity, *([self.resource] if self.resource is not None else [])]
        for match in matched:
            for source in sources:
                if source.policy is match.policy:
                    yield source, match.statement
                    break


async def simulate_custom_policy(
    call: Call, request: SimulateCustomPolicyRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    identity = simulated_policies.given(request["PolicyInputList"], "PolicyInputList")
    return await _simulate(call, dict(request), engines, identity, None)


async def simulate_principal_policy(
    call: Call, request: SimulatePrincipalPolicyRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    reader, arn = engines.store.read, request["PolicySourceArn"]
    asked: dict[str, Any] = dict(request)
    principal = simulated_policies.principal(reader, call.account, arn)
    excluded = Exclusions(asked.get("PolicyExclusionList", ()))
    sources = simulated_policies.held(reader, call.account, principal)
    identity = [source for source in sources if source not in excluded]
    identity += simulated_policies.given(request.get("PolicyInputList", ()), "PolicyInputList")
    bounding = simulated_policies.boundary(reader, principal)
    if bounding and ("permission-boundary" in excluded.types or bounding[0] in excluded):
        bounding = []
    return await _simulate(call, {"CallerArn": arn, **asked}, engines, identity, bounding[0] if bounding else None)


async def _simulate(
    call: Call, asked: Mapping[str, Any], engines: Engines, identity: Sequence[Source], boundary: Source | None
) -> dict[str, Any]:
    actions = list(dict.fromkeys(asked["ActionNames"]))
    resources = list(dict.fromkeys(asked.get("ResourceArns") or ["*"]))
    _check(asked, actions, resources)
    bounding = simulated_policies.given(
        asked.get("PermissionsBoundaryPolicyInputList", ()), "PermissionsBoundaryPolicyInputList"
    )
    if len(bounding) > 1:
        raise invalid("A simulation has at most one permissions boundary.")
    resource = simulated_policies.resource(asked["ResourcePolicy"]) if "ResourcePolicy" in asked else None
    if resource is not None and "CallerArn" not in asked:
        raise invalid("A simulation with a ResourcePolicy needs a CallerArn.")
    caller, context = _caller(engines.store.read, asked["CallerArn"]) if "CallerArn" in asked else (None, {})
    account = caller.account if caller is not None else call.account
    simulation = _Simulation(
        identity=identity,
        boundary=bounding[0] if bounding else boundary,
        resource=resource,
        caller=caller,
        account=account,
        owner=_account_of(asked["ResourceOwner"]) if "ResourceOwner" in asked else account,
        context={**_moment(engines.clock.time()), **context, **entries(asked.get("ContextEntries", ()))},
    )
    numbered = [(f"{number:06}", action) for number, action in enumerate(actions)]
    taken, output = cut(call, engines, "EvaluationResults", numbered, lambda place: place[0])

    def evaluate() -> list[dict[str, Any]]:
        missing = simulation.missing()
        return [_evaluated(simulation, action, resources, missing) for _, action in taken]

    # Much to work out, of policies that never change: the event loop goes on meanwhile.
    output["EvaluationResults"] = await asyncio.to_thread(evaluate)
    return output


def _check(asked: Mapping[str, Any], actions: Sequence[str], resources: Sequence[str]) -> None:
    for unsupported in ("OrderedOrganizationPolicyInputList", "ResourceHandlingOption"):
        if unsupported in asked:
            raise invalid(f"{unsupported} is not supported: the simulation would not follow it.")
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise invalid(f"Invalid action: {action} is not the name of an operation, such as iam:CreateUser.")
    for resource in resources:
        if resource != "*" and not (resource.startswith("arn:") and resource.count(":") >= 5):
            raise invalid(f"Invalid resource: {resource} is not an ARN.")
    if len(actions) * len(resources) > MOST_COMBINATIONS:
        raise invalid(f"A simulation has at most {MOST_COMBINATIONS} combinations of actions and resources.")


# Who calls, and when


def _caller(reader: Reader, arn: str) -> tuple[Identity | None, dict[str, tuple[str, ...]]]:
    """The simulated caller, and the condition keys that tell of it. Groups call nothing."""
    holder, name = simulated_policies.split(arn)
    account = arns.parse(arn).account
    context = {"aws:principalaccount": account, "aws:principalarn": arn}
    if holder == "group":
        return None, {}
    if holder == "role":
        issuer = {"type": "Role", "arn": arn, "accountId": account, "userName": name}
        session = arns.format("sts", "", account, f"assumed-role/{name}/simulated")
        identity = Identity("AssumedRole", account, arn=session, session=Session(created=0.0, issuer=issuer))
        return identity, _single({**context, "aws:principaltype": "AssumedRole"})
    user = accounts.user(reader, account, name)
    identity = Identity("IAMUser", account, user.id if user is not None else "", arn, name)
    context |= {"aws:principaltype": "User", "aws:username": name}
    if user is not None:
        context["aws:userid"] = user.id
        context |= {f"aws:principaltag/{key.lower()}": value for key, value in user.tags}
    return identity, _single(context)


def _moment(now: float) -> dict[str, tuple[str, ...]]:
    time = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _single({"aws:currenttime": time, "aws:epochtime": str(int(now))})


def _single(context: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {key: (value,) for key, value in context.items()}


def _account_of(owner: str) -> str:
    account = owner.split(":")[4] if owner.count(":") >= 5 else owner
    if not arns.is_account(account):
        raise invalid(f"Invalid ResourceOwner: {owner} names no account.")
    return account


# Results


def _evaluated(
    simulation: _Simulation, action: str, resources: Sequence[str], missing: Sequence[str]
) -> dict[str, Any]:
    """One result for the action: the most restrictive decision, and each resource's own."""
    results = [simulation.run(action, resource) for resource in resources]
    decision = min((result.decision for result in results), key=_RESTRICTIVE.index)
    matched = dict.fromkeys(match for result in results if result.decision is decision for match in result.matched)
    shown: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": _template(action),
        "EvalDecision": _SHOWN[decision],
        "MatchedStatements": [_statement(*match) for match in matched],
        "MissingContextValues": missing,
        **_boundary(all(result.within_boundary for result in results), simulation),
    }
    if resources == ["*"]:
        return shown
    shown["EvalDecisionDetails"] = _details([result.details for result in results if result.details is not None])
    shown["ResourceSpecificResults"] = [_specific(simulation, result, missing) for result in results]
    return shown


def _specific(simulation: _Simulation, result: _Result, missing: Sequence[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "EvalResourceName": result.resource,
        "EvalResourceDecision": _SHOWN[result.decision],
        "MatchedStatements": [_statement(*match) for match in result.matched],
        "MissingContextValues": missing,
        **_boundary(bool(result.within_boundary), simulation),
    }
    if result.details is not None:
        shown["EvalDecisionDetails"] = _details([result.details])
    return shown


def _boundary(within: bool, simulation: _Simulation) -> dict[str, Any]:
    if simulation.boundary is None:
        return {}
    return {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": within}}


def _details(of_resources: Sequence[Mapping[str, Decision]]) -> dict[str, str]:
    kinds = dict.fromkeys(kind for details in of_resources for kind in details)
    return {kind: _SHOWN[min((details[kind] for details in of_resources), key=_RESTRICTIVE.index)] for kind in kinds}


def _statement(source: Source, index: int) -> dict[str, Any]:
    start, end = simulated_policies.places(source.text)[index]
    return {
        "SourcePolicyId": source.id,
        "SourcePolicyType": source.kind,
        "StartPosition": start,
        "EndPosition": end,
    }


def _template(action: str) -> str:
    """The ARN template of what the action is done to; "*" where there is none, or more than one."""
    vendor, _, name = action.partition(":")
    data = data_files.load(f"authorization/{vendor.lower()}.json") or {"resources": {}}
    templates = [
        template
        for of_type in data["resources"].values()
        for template, operations in of_type.items()
        if name in operations.split()
    ]
    return f"arn:${{Partition}}:{templates[0]}" if len(templates) == 1 else "*"
