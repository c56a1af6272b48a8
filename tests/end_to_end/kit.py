"""What these tests hold in their hands: clients that do not try again, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from skytrail.cli import app
from skytrail.testing import Server, Skytrail

#: As a test wants it: what goes wrong is seen, not tried again.
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=60)


def client(server: Server, service: str, *, config: Config | None = None, **options: Any) -> Any:
    return Skytrail(server.endpoint).client(service, config=ONCE.merge(config) if config else ONCE, **options)


def answer(call: Any, **parameters: Any) -> tuple[int, str]:
    """The status and the error code that a call is answered; the code is empty where it succeeds."""
    try:
        response = call(**parameters)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return response["ResponseMetadata"]["HTTPStatusCode"], ""


def skytrail(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "skytrail", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def investigated(server: Server, *arguments: str) -> list[dict[str, Any]]:
    """The records that `skytrail lookup` finds, newest first; the command runs in this process, which is faster."""
    done = CliRunner().invoke(
        app, ["lookup", "--data", str(server.data), "--limit", "0", "--output", "json", *arguments]
    )
    assert done.exit_code == 0, (done.stderr, done.exception)
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def page(server: Server, path: str) -> tuple[int, str]:
    """One of the server's own pages: status and text."""
    try:
        with urllib.request.urlopen(server.endpoint + path) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(server: Server, name: str) -> float:
    (line,) = [line for line in page(server, "/metrics")[1].splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def records(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(event["CloudTrailEvent"]) for event in events]
