"""What policies decide, case by case: each says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skytrail.identity import policy
from skytrail.identity.policy import Applicable, Ask, Kind, Policy, Verdict
from skytrail.identity.principals import Identity

CASES = Path(__file__).parent.parent / "cases" / "policies"
CALLERS = msgspec.json.decode((CASES / "callers.json").read_bytes(), type=dict[str, Identity])
DECISIONS = [
    pytest.param(case, id=f"{file}: {case['name']}")
    for file in ("identity", "conditions", "principals", "limits", "rules")
    for case in json.loads((CASES / f"{file}.json").read_text())
]
ACCOUNT = "123456789012"
#: What a case's request has, where the case does not say otherwise.
CONTEXT = {
    "aws:currenttime": ["2024-02-29T12:00:00Z"],
    "aws:epochtime": ["1709208000"],
    "aws:principalarn": [f"arn:aws:iam::{ACCOUNT}:user/team/alice"],
    "aws:principaltag/team": ["audit"],
    "aws:principaltype": ["User"],
    "aws:requestedregion": ["eu-west-1"],
    "aws:securetransport": ["true"],
    "aws:sourceip": ["192.0.2.17"],
    "aws:useragent": ["aws-cli/2.15 exec/pretty"],
    "aws:username": ["alice"],
}


def parsed(tree: Any, kind: Kind) -> Policy:
    return policy.parse(json.dumps(tree), kind)


def decided(case: dict[str, Any]) -> Verdict:
    caller = CALLERS[case["caller"]] if "caller" in case else None
    given = CONTEXT | case.get("context", {})
    if caller is not None and not caller.arn:
        del given["aws:principalarn"]
    account = caller.account if caller is not None else ACCOUNT
    sessions = case.get("sessions")
    return policy.decide(
        Ask(case["action"], case["resource"], {key: tuple(values) for key, values in given.items()}, caller),
        Applicable(
            identity=tuple(parsed(tree, "identity") for tree in case.get("identity", ())),
            boundary=parsed(case["boundary"], "identity") if "boundary" in case else None,
            sessions=None if sessions is None else tuple(parsed(tree, "session") for tree in sessions),
            resource=parsed(case["policy"], case.get("kind", "resource")) if "policy" in case else None,
        ),
        account=account,
        owner=case.get("owner", account),
        policy_rules=case.get("policy_rules", False),
        granted=case.get("granted", False),
        granted_to_account=case.get("granted_to_account", False),
    )


@pytest.mark.parametrize("case", DECISIONS)
def test_decision(case: dict[str, Any]) -> None:
    verdict = decided(case)
    assert verdict.decision.value == case["decision"], case["reason"]
    assert verdict.why == case.get("why", verdict.why), case["reason"]
    assert case["reason"]


def test_the_statements_that_settle_it() -> None:
    def of(*statements: dict[str, str]) -> Policy:
        return parsed(
            {"Statement": [{"Action": "*", "Resource": "*", **statement} for statement in statements]}, "identity"
        )

    allows, other = of({"Effect": "Allow", "Action": "s3:*"}, {"Effect": "Allow"}), of({"Effect": "Allow"})
    denies = of({"Effect": "Allow"}, {"Effect": "Deny"})
    ask = Ask("sqs:SendMessage", "*", {})

    def matched(*policies: Policy) -> list[tuple[Policy, int]]:
        verdict = policy.decide(ask, Applicable(policies), account="1", owner="1")
        return [(match.policy, match.statement) for match in verdict.matched]

    assert matched(allows, other) == [(allows, 1), (other, 0)]
    assert matched(allows, denies) == [(denies, 1)]
    assert matched() == []
