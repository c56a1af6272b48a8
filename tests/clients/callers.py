"""Real clients behind one function: make a call, say what came of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
REGION = "eu-central-1"


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str = "any"


@dataclass(frozen=True)
class Result:
    output: dict[str, Any] | None
    error: str | None
    #: None where the client does not tell.
    request_id: str | None


Caller = Callable[..., Result]


def environment(endpoint: str, credentials: Credentials, region: str = REGION) -> dict[str, str]:
    """What an AWS tool needs in its environment, and nothing of this machine's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
    }


def by_boto3(
    endpoint: str,
    credentials: Credentials,
    service: str,
    operation: str,
    parameters: Mapping[str, Any],
    region: str = REGION,
) -> Result:
    client = boto3.session.Session().client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(retries={"total_max_attempts": 1}),
    )
    method = re.sub(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", operation).lower()
    try:
        output = getattr(client, method)(**parameters)
    except ClientError as error:
        return Result(None, error.response["Error"]["Code"], error.response["ResponseMetadata"]["RequestId"])
    return Result(output, None, output.pop("ResponseMetadata")["RequestId"])


@cache
def aws_cli_2() -> str:
    """Version 2 of the AWS CLI, which is no Python package: Debian has it."""
    for folder in (*os.get_exec_path(), "/usr/bin"):
        command = os.path.join(folder, "aws")
        if os.access(command, os.X_OK):
            done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
            if done.stdout.startswith("aws-cli/2."):
                return command
    pytest.skip("version 2 of the AWS CLI is not installed")


def _cli(command: Callable[[str], Sequence[str]]) -> Caller:
    """The AWS CLI, by the command and its options for an endpoint."""

    def call(
        endpoint: str,
        credentials: Credentials,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        region: str = REGION,
    ) -> Result:
        verb = re.sub(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "-", operation).lower()
        done = subprocess.run(
            [*command(endpoint), service, verb, "--output", "json", "--cli-input-json", json.dumps(parameters)],
            env=environment(endpoint, credentials, region),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            code = re.search(r"An error occurred \((\w+)\)", done.stderr)
            assert code, done.stderr
            return Result(None, code[1], None)
        return Result(json.loads(done.stdout or "{}"), None, None)

    return call


by_cli = _cli(lambda _: [str(BIN / "aws")])
#: Older ones of version 2 do not know AWS_ENDPOINT_URL.
by_cli_2 = _cli(lambda endpoint: [aws_cli_2(), "--endpoint-url", endpoint, "--cli-binary-format", "raw-in-base64-out"])


def by_javascript(
    endpoint: str,
    credentials: Credentials,
    service: str,
    operation: str,
    parameters: Mapping[str, Any],
    region: str = REGION,
) -> Result:
    call = {"service": service, "operation": operation, "input": parameters}
    (result,) = javascript(endpoint, credentials, [call], region)
    return Result(result["output"], result["error"], result["requestId"])


def javascript(
    endpoint: str, credentials: Credentials, calls: list[dict[str, Any]], region: str = REGION
) -> list[dict[str, Any]]:
    asked = {
        "endpoint": endpoint,
        "region": region,
        "credentials": {"accessKeyId": credentials.access_key, "secretAccessKey": credentials.secret_key},
        "calls": calls,
    }
    done = subprocess.run(
        [BIN / "node", HERE / "calls.mjs"],
        input=json.dumps(asked),
        env=environment(endpoint, credentials, region),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


CALLERS: dict[str, Caller] = {"boto3": by_boto3, "cli": by_cli, "cli-2": by_cli_2, "javascript": by_javascript}
USER_AGENTS = {"boto3": "Boto3/", "cli": "aws-cli/1.", "cli-2": "aws-cli/2.", "javascript": "aws-sdk-js/3."}
