"""Calls as the pipeline leaves them when it records them."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from skytrail.audit import record
from skytrail.call import Call, Source, Tls
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route

CASES = Path(__file__).parent.parent / "cases" / "audit"
ACCOUNT = "111122223333"
ALICE = Identity(
    type="IAMUser",
    account=ACCOUNT,
    principal_id="AIDAEXAMPLE",
    arn=f"arn:aws:iam::{ACCOUNT}:user/alice",
    user_name="alice",
    access_key="AKIAEXAMPLE",
)
TLS = Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256")
#: 2026-11-20T20:18:22.4Z
NOW = 1795205902.4


def route(service: str, operation: str) -> Route:
    known = models.service(service)
    model = known.operation(operation)
    assert model is not None
    return Route(known, model, known.protocols[0])


def call(
    service: str,
    operation: str,
    given: dict[str, Any] | None = None,
    answered: dict[str, Any] | None = None,
    **changes: Any,
) -> Call:
    headers = {
        "host": f"{service}.eu-west-1.amazonaws.com",
        "user-agent": "aws-cli/2.31",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261120/eu-west-1/x/aws4_request",
    }
    made = Call(
        request=Request("POST", "/", "", headers),
        source=Source("203.0.113.9", tls=TLS),
        request_id="5d40662a-49f7-11e6-97e4-d9cb6ff7d6a3",
        event_id="b7d4398e-b2f0-4faa-9c76-e2d316a8d67f",
        received=NOW - 0.01,
        account=ACCOUNT,
        region="eu-west-1",
        identity=ALICE,
        route=route(service, operation),
        input=given if given is not None else {},
        output=answered,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def recorded(made: Call, now: float = NOW, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.build(made, now, **options))
    return found


def typed(value: Any) -> Any:
    """A case's JSON with its times and blobs."""
    if isinstance(value, dict):
        if "$time" in value:
            return datetime.fromisoformat(value["$time"])
        if "$blob" in value:
            return base64.b64decode(value["$blob"])
        return {name: typed(inner) for name, inner in value.items()}
    return [typed(inner) for inner in value] if isinstance(value, list) else value


def from_case(case: dict[str, Any]) -> Call:
    service, operation = case["call"]
    error = case.get("error")
    return call(
        service,
        operation,
        typed(case.get("input", {})),
        typed(case.get("output")) if error is None else None,
        error=ServiceError(error[0], error[1] if len(error) > 1 else None) if error else None,
        region=case.get("region", "eu-west-1"),
    )
