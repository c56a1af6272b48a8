"""No value of a sensitive member ever reaches a record, for every operation of the services in scope."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import Shape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.audit import record
from skytrail.audit.redact import HIDDEN, Rules, Showing
from skytrail.errors import ServiceError
from skytrail.wire import models
from tests.audit.calls import NOW, call

SERVICES = (
    "cloudtrail", "cloudtrail-data", "cloudwatch", "dynamodb", "events", "iam", "kms", "lambda", "logs", "s3",
    "scheduler", "secretsmanager", "sns", "sqs", "ssm", "sts", "ec2",
)  # fmt: skip
MARK = "MARKER"
#: What names a table of DynamoDB is no secret, although it stands among items that are.
TABLES = frozenset({"TableArn", "TableName"})


class Generated:
    """A value for a shape, with marked secrets wherever the model or the list says that a secret is."""

    def __init__(self, service: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.rules = Rules(service)
        self.secrets: list[str] = []

    def value(self, shape: Shape, *, secret: bool = False, depth: int = 0) -> Any:
        secret = secret or bool(shape.metadata.get("sensitive"))
        match shape.type_name:
            case "structure":
                return {} if depth > 5 else self.members(shape, secret=secret, depth=depth)
            case "list":
                count = 0 if depth > 5 else self.random.randint(0, 2)
                return [self.value(shape.member, secret=secret, depth=depth + 1) for _ in range(count)]
            case "map":
                secret = secret or bool(shape.key.metadata.get("sensitive"))
                key = self.text(secret=secret and shape.key.name not in TABLES)
                return {} if depth > 5 else {key: self.value(shape.value, secret=secret, depth=depth + 1)}
            case "timestamp":
                return datetime(2026, 11, 20, tzinfo=UTC)
            case "blob":
                return self.text(secret=secret).encode()
            case "boolean":
                return True
            case "integer" | "long" | "float" | "double":
                return self.random.randint(0, 9)
            case _:
                return self.text(secret=secret and shape.name not in TABLES)

    def members(self, shape: Shape, *, secret: bool, depth: int) -> dict[str, Any]:
        found = {}
        for name, member in shape.members.items():
            if self.random.random() < 0.15:
                continue
            hide = secret or self.rules.member(name, member) is not Showing.SHOW
            found[name] = self.value(member, secret=hide, depth=depth + 1)
        return found

    def text(self, *, secret: bool) -> str:
        if not secret:
            return "plain"
        self.secrets.append(f"{MARK}{self.random.getrandbits(64):016x}")
        return self.secrets[-1]


@pytest.mark.parametrize("service", SERVICES)
@settings(deadline=None, derandomize=True, max_examples=3, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), failed=st.booleans())
def test_no_secret_reaches_a_record(service: str, seed: int, failed: bool) -> None:
    known = models.service(service)
    for name in known.operation_names:
        operation = known.operation(name)
        assert operation is not None
        made = Generated(service, seed)
        given_ = made.value(operation.input_shape) if operation.input_shape is not None else {}
        quoted = [secret for secret in made.secrets if secret in repr(given_)][:20]
        answered = made.value(operation.output_shape) if operation.output_shape is not None else {}
        error = ServiceError("ValidationException", f"Value '{' '.join(quoted)}' at 'x'") if failed else None
        encoded = record.build(call(service, name, given_, None if failed else answered, error=error), NOW)
        assert len(encoded) <= 256 * 1024
        assert MARK.encode() not in encoded, name
        json.loads(encoded)


def test_what_the_list_names_is_hidden_though_the_model_does_not_say_so() -> None:
    rules = Rules("sts")
    output = models.service("sts").model.operation_model("GetSessionToken").output_shape
    credentials = output.members["Credentials"]
    assert not credentials.members["SessionToken"].metadata.get("sensitive")
    assert rules.member("SessionToken", credentials.members["SessionToken"]) is Showing.HIDE


def test_a_switch_that_mentions_a_password_is_shown() -> None:
    found = json.loads(
        record.build(call("iam", "UpdateAccountPasswordPolicy", {"AllowUsersToChangePassword": True}), NOW)
    )
    assert found["requestParameters"] == {"allowUsersToChangePassword": True}


def test_secret_keys_of_maps() -> None:
    attributes = {"Policy": "p", "PlatformCredential": "topsecret"}
    found = json.loads(record.build(call("sns", "CreatePlatformApplication", {"Attributes": attributes}), NOW))
    assert found["requestParameters"]["attributes"] == {"Policy": "p", "PlatformCredential": HIDDEN}


def test_codes_of_an_mfa_device() -> None:
    given_ = {"SerialNumber": "arn:aws:iam::123456789012:mfa/phone", "TokenCode": "123456"}
    error = ServiceError("AccessDenied", "MultiFactorAuthentication failed with invalid one time pass code 123456.")
    found = json.loads(record.build(call("sts", "GetSessionToken", given_, error=error), NOW))
    assert found["requestParameters"]["tokenCode"] == HIDDEN
    assert "123456." not in found["errorMessage"]


def test_grants_are_told_by_their_id() -> None:
    """Who holds a grant's token may use the grant; AWS's records of CreateGrant have the id only."""
    answered = {"GrantId": "f020", "GrantToken": "topsecret"}
    made = json.loads(record.build(call("kms", "CreateGrant", {"GrantTokens": ["topsecret"]}, answered), NOW))
    assert made["responseElements"] == {"grantId": "f020"}
    retired = json.loads(record.build(call("kms", "RetireGrant", {"GrantToken": "topsecret"}), NOW))
    assert "topsecret" not in json.dumps([made, retired])
