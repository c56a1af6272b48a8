"""The organization of the settings, as clients ask for it, and AWS's CLI before it checks an organization's trail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from skytrail import services
from skytrail.settings import Organization, Settings
from skytrail.testing import Server, Skytrail
from skytrail.wire import models
from skytrail.wire.routing import Route

from .trails_house import Home

ORGANIZATION, MANAGEMENT, MEMBER = "o-exampleorgid", "111111111111", "222222222222"
START = datetime(2026, 1, 31, 20, 1, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = {"ID": ORGANIZATION, "MANAGEMENT": MANAGEMENT, "ACCOUNTS": MEMBER}
    environment = {f"SKYTRAIL_ORGANIZATION_{name}": value for name, value in settings.items()}
    with Server(environment={**environment, "SKYTRAIL_TRAIL_DELIVERY_INTERVAL": "1800"}) as server:
        yield server


@pytest.mark.parametrize("account", [MANAGEMENT, MEMBER])
def test_each_account_knows_its_organization(server: Server, account: str) -> None:
    found = Skytrail(server.endpoint).client("organizations", account=account).describe_organization()["Organization"]
    assert found == {
        "Id": ORGANIZATION,
        "Arn": f"arn:aws:organizations::{MANAGEMENT}:organization/{ORGANIZATION}",
        "FeatureSet": "ALL",
        "MasterAccountArn": f"arn:aws:organizations::{MANAGEMENT}:account/{ORGANIZATION}/{MANAGEMENT}",
        "MasterAccountId": MANAGEMENT,
        "AvailablePolicyTypes": [],
    }


def test_another_account_has_none(server: Server) -> None:
    with pytest.raises(ClientError) as refused:
        Skytrail(server.endpoint, account="333333333333").client("organizations").describe_organization()
    assert refused.value.response["Error"]["Code"] == "AWSOrganizationsNotInUseException"


def test_an_upstream_keeps_organizations_where_the_settings_name_none() -> None:
    model = models.service("organizations")
    route = Route(model, model.operation("DescribeOrganization"), "json")
    named = Settings(organization=Organization(ORGANIZATION, MANAGEMENT))
    assert (services.answers(route, Settings()), services.answers(route, named)) == (False, True)


def validate_logs(endpoint: str, arn: str, account: str, region: str) -> str:
    """In a process of its own: the CLI's customizations stay in the process that they were loaded in."""
    given = {"AWS_ACCESS_KEY_ID": MANAGEMENT, "AWS_SECRET_ACCESS_KEY": "any", "AWS_ENDPOINT_URL": endpoint}
    command = [str(Path(sys.executable).with_name("aws")), "cloudtrail", "validate-logs", "--trail-arn", arn]
    command += ["--account-id", account, "--region", region]
    command += ["--start-time", "2026-01-31T20:00:00Z", "--end-time", "2026-02-01T20:00:00Z"]
    environment = {**os.environ, **given, "AWS_CONFIG_FILE": os.devnull}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_aws_cli_validates_an_organization_s_trail(server: Server) -> None:
    skytrail = Skytrail(server.endpoint)
    skytrail.clock.freeze(START)
    management = Home(server, MANAGEMENT)
    bucket = management.bucket("all-accounts", kind="organization bucket")
    arn = management.trails().create_trail(
        Name="all-accounts",
        S3BucketName=bucket,
        IsOrganizationTrail=True,
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
    )["TrailARN"]
    management.trails().start_logging(Name="all-accounts")
    for _ in range(3):
        skytrail.client("sqs", account=MEMBER, region="eu-central-1").list_queues()
        skytrail.clock.advance(3600)
    said = validate_logs(server.endpoint, arn, MEMBER, "eu-central-1")
    assert "3/3 digest files valid" in said
    assert "log files valid" in said
