"""Functions for tests: archives, ways to make them and to call them."""

from __future__ import annotations

import base64
import functools
import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config

from skytrail.testing import Server

ACCOUNT, REGION = "123456789012", "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/runs-functions"

#: Does what its event says.
PYTHON = """
import os, subprocess, sys, time
count = 0

def handler(event, context):
    global count
    count += 1
    if "print" in event:
        print(event["print"])
    if "stderr" in event:
        print(event["stderr"], file=sys.stderr)
    if "raise" in event:
        raise ValueError(event["raise"])
    if "exit" in event:
        os._exit(event["exit"])
    if "signal" in event:
        os.kill(os.getpid(), event["signal"])
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "megabytes" in event:
        return len(bytearray(event["megabytes"] << 20))
    if "letters" in event:
        return "x" * event["letters"]
    if "set" in event:
        return {1}
    if "environment" in event:
        return dict(os.environ)
    if "child" in event:
        command = f"echo started > {event['child']}; sleep 1000"
        return subprocess.Popen(["sh", "-c", command], start_new_session=event.get("session", False)).pid
    return {"event": event, "pid": os.getpid(), "count": count, "version": context.function_version,
            "arn": context.invoked_function_arn, "id": context.aws_request_id,
            "left": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb,
            "stream": context.log_stream_name, "custom": context.client_context and context.client_context.custom}
"""


def archive(files: dict[str, str], mode: int = 0o755) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, text)
    return packed.getvalue()


@functools.cache
def session() -> Any:
    """One for all clients: it reads each service's model once."""
    return boto3.session.Session()


def client(
    server: Server, service: str = "lambda", account: str = ACCOUNT, region: str = REGION, validation: bool = True
) -> Any:
    return session().client(
        service,
        endpoint_url=server.endpoint,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60, proxies={}, parameter_validation=validation),
    )


class Functions:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.api = client(server)

    def create(self, name: str, files: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        given = {
            "Runtime": "python3.11",
            "Handler": "m.handler",
            "Role": ROLE,
            "Code": {"ZipFile": archive(files or {"m.py": PYTHON})},
            **more,
        }
        made: dict[str, Any] = self.api.create_function(FunctionName=name, **given)
        return made

    def invoke(self, name: str, event: Any = None, **more: Any) -> dict[str, Any]:
        """The answer of Invoke: its payload read, and as JSON where it is; its log as text."""
        if event is not None:
            more["Payload"] = json.dumps(event)
        answer: dict[str, Any] = self.api.invoke(FunctionName=name, **more)
        answer["Payload"] = answer["Payload"].read()
        answer["Result"] = json.loads(answer["Payload"]) if answer["Payload"] else None
        answer["Log"] = base64.b64decode(answer.get("LogResult", "")).decode()
        return answer

    def event(self, name: str, event: Any, **more: Any) -> str:
        answer = self.api.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event), **more)
        assert answer["StatusCode"] == 202
        return str(answer["ResponseMetadata"]["RequestId"])


def until(found: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `found` finds, as soon as it does: processes take the time that they take."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds} seconds")
