"""AWS as an upstream: its endpoints by botocore's rules, and the credentials of botocore's chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.gateway.upstreams.aws import Aws, Place
from skytrail.wire import sigv4
from tests.audit.calls import call

from .upstreams_house import House, http, request, says, upstream

CASES = json.loads((Path(__file__).parents[1] / "cases" / "upstreams" / "places.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['service']}-{case['operation']}")
def test_where_a_call_goes(case: dict[str, Any]) -> None:
    made = call(case["service"], case["operation"], case.get("parameters", {}))
    made.region = case["region"]
    assert Aws().place(made) == Place(case["url"], *case["scope"])


def test_credentials_come_from_botocores_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ServiceError, match="no credentials are configured"):
        Aws().credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    found = Aws().credentials()
    assert (found.access_key, found.secret_key, found.session_token) == ("AKIAEXAMPLE", "secret", "token")


def test_a_call_to_aws_is_signed_with_the_chains_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    house = House(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDUPSTREAM")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s/cret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")

    async def main() -> None:
        async with upstream(says(http("200 OK", "{}"))) as there, house.open("dynamodb=aws"):
            monkeypatch.setattr(Aws, "place", lambda *_: Place(there.url, "us-east-1", "dynamodb"))
            response, _ = await house.ask(request("dynamodb", "ListTables", {}))
            assert response.status == 200
            (asked,) = there.asked
            signature = sigv4.read(asked.request, "dynamodb")
            assert signature is not None
            sigv4.verify(signature, asked.request, "s/cret")
            assert (signature.access_key, signature.session_token) == ("AKIDUPSTREAM", "token")
            assert signature.region == "us-east-1"

    house.run(main())


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "kept"),
    [
        ("sts", "AssumeRoleWithWebIdentity", {"RoleArn": "r", "RoleSessionName": "s", "WebIdentityToken": "t"}, False),
        ("codecatalyst", "ListSpaces", {}, True),
    ],
)
def test_what_needs_no_signature_of_ours_gets_none(
    service: str, operation: str, parameters: dict[str, Any], kept: bool, tmp_path: Path
) -> None:
    """Operations that anyone may call, and those with a bearer's token, which is the client's own."""
    house = House(tmp_path)

    async def main() -> None:
        keys = {"access_key": "a", "secret_key": "b"}
        async with upstream(says(http("403 Forbidden"))) as there, house.open(f"{service}={there.url}", **keys):
            made = request(service, operation, parameters)
            await house.ask(made)
            assert there.asked[0].headers.get("authorization") == (made.headers["authorization"] if kept else None)

    house.run(main())
