"""Accounts with buckets, topics and keys for trails, by real clients against a real server."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from skytrail.testing import Server, Skytrail

REGION, OTHER_REGION = "eu-west-1", "us-east-2"
CASES = Path(__file__).parent.parent / "cases" / "cloudtrail"
DOCUMENTED = json.loads((CASES / "documented_policies.json").read_text())

_numbers = itertools.count(100_000_000_000)


class Home:
    """An account; each test has one of its own, unless it names one."""

    def __init__(self, server: Server, account: str = "", credentials: tuple[str, str] | None = None) -> None:
        self.server = server
        self.account = account or str(next(_numbers))
        self.credentials = credentials
        self._clients: dict[tuple[str, str, str], Any] = {}

    def client(self, service: str, region: str = REGION, *, credentials: tuple[str, str] | None = None) -> Any:
        key, secret = credentials or self.credentials or (self.account, "any")
        found = self._clients.get((service, region, key))
        if found is None:
            kit = Skytrail(self.server.endpoint, account=self.account, region=region)
            found = self._clients[service, region, key] = kit.client(
                service, access_key=key, secret_key=secret, config=Config(retries={"total_max_attempts": 1})
            )
        return found

    def trails(self, region: str = REGION) -> Any:
        return self.client("cloudtrail", region)

    def arn(self, name: str, region: str = REGION) -> str:
        return f"arn:aws:cloudtrail:{region}:{self.account}:trail/{name}"

    def policy(self, kind: str, trail: str, region: str = REGION, **names: str) -> str:
        return documented(kind, trail, region, self.account, **names)

    def bucket(
        self, trail: str, *, prefix: str = "", region: str = REGION, bucket_region: str = "", **more: str
    ) -> str:
        """A bucket with the documented policy for a trail."""
        name, bucket_region = f"logs-{self.account}-{next(_numbers)}", bucket_region or region
        s3 = self.client("s3", bucket_region)
        place = {} if bucket_region == "us-east-1" else {"LocationConstraint": bucket_region}
        s3.create_bucket(Bucket=name, **({"CreateBucketConfiguration": place} if place else {}))
        kind = more.pop("kind", "bucket")
        policy = self.policy(kind, trail, region, myBucketName=name, optionalPrefix=prefix, **more)
        s3.put_bucket_policy(Bucket=name, Policy=policy)
        return name

    def open_bucket(self, region: str = REGION) -> str:
        """A bucket with a policy for all of the account's trails."""
        name = f"open-{self.account}-{next(_numbers)}"
        s3 = self.client("s3", region)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        service = {"Service": "cloudtrail.amazonaws.com"}
        statements = [
            {"Effect": "Allow", "Principal": service, "Action": action, "Resource": f"arn:aws:s3:::{name}{rest}"}
            for action, rest in (("s3:GetBucketAcl", ""), ("s3:PutObject", "/*"))
        ]
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
        return name

    def topic(self, trail: str, region: str = REGION) -> str:
        sns, name = self.client("sns", region), f"topic-{next(_numbers)}"
        arn: str = sns.create_topic(Name=name)["TopicArn"]
        policy = self.policy("topic", trail, region, topicName=name)
        sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
        return arn

    def key(self, trail: str, region: str = REGION) -> str:
        kms = self.client("kms", region)
        arn: str = kms.create_key(Policy=self.policy("key", trail, region))["KeyMetadata"]["Arn"]
        return arn

    def records(self, region: str = REGION) -> list[dict[str, Any]]:
        """All of the account's in the Region, oldest first."""
        pages = self.trails(region).get_paginator("lookup_events").paginate()
        found = [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]
        return found[::-1]


def documented(kind: str, trail: str, region: str, account: str, **names: str) -> str:
    """A documented policy with its placeholders filled; a name of "" takes its placeholder away."""
    text = json.dumps(DOCUMENTED[kind]).replace(":region:", f":{region}:")
    for placeholder, value in {"myAccountID": account, "trailName": trail, **names}.items():
        text = text.replace(placeholder if value else f"{placeholder}/", value)
    return text


def root_key(server: Server, account: str) -> tuple[str, str]:
    made = subprocess.run(
        [sys.executable, "-m", "skytrail", "keys", "create", "--data", str(server.data), "--account", account],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = re.search(r"(AKIA\w+)\s+secret access key\s+(\S+)", made)
    assert found is not None
    return found[1], found[2]


class Refused:
    """`with refused("TrailNotFoundException") as told: ...; told.message`"""

    def __init__(self, code: str) -> None:
        self.code = code
        self.message = ""
        self._raises = pytest.raises(ClientError)

    def __enter__(self) -> Refused:
        self._info = self._raises.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        handled = self._raises.__exit__(kind, error, trace)
        told = self._info.value.response["Error"]
        self.message = told["Message"]
        assert told["Code"] == self.code, told
        return bool(handled)


refused = Refused


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}
