"""Load that remembers what the server acknowledged: calls that change state, calls that only read, calls that fail."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

ACCOUNT = "111122223333"
_SCOPE = "/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
_VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}


@dataclass
class Acknowledged:
    """What clients were answered: request ids, and the users and keys that must stand."""

    request_ids: list[str] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def query(connection: http.client.HTTPConnection, service: str, **parameters: str) -> tuple[int, str, bytes]:
    """One Query call: (status, request id, body)."""
    connection.request(
        "POST",
        "/",
        urlencode({**parameters, "Version": _VERSIONS[service]}),
        {
            "content-type": "application/x-www-form-urlencoded",
            "authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}{_SCOPE.format(service=service)}",
        },
    )
    response = connection.getresponse()
    body = response.read()
    return response.status, response.headers["x-amzn-RequestId"], body


def run_client(port: int, prefix: str, acknowledged: Acknowledged, seed: int, stop: threading.Event) -> None:
    """Call until told to stop or until the server dies; one connection, one call at a time."""
    choice = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    number = 0
    try:
        while not stop.is_set():
            number += 1
            user = f"{prefix}-{number}"
            status, request_id, _ = query(connection, "iam", Action="CreateUser", UserName=user)
            with acknowledged.lock:
                acknowledged.request_ids.append(request_id)
                if status == 200:
                    acknowledged.users.add(user)
            for _ in range(choice.randrange(4)):
                action = choice.choice(("GetCallerIdentity", "GetUser", "CreateUser"))
                if action == "GetCallerIdentity":
                    _, request_id, _ = query(connection, "sts", Action=action)
                else:  # an error half of the time: a user that is not there, a user that is
                    name = user if choice.random() < 0.5 else f"{prefix}-missing" * (action == "GetUser") or user
                    _, request_id, _ = query(connection, "iam", Action=action, UserName=name)
                with acknowledged.lock:
                    acknowledged.request_ids.append(request_id)
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()


def records(port: int, *, patience: float = 60.0) -> list[dict[str, object]]:
    """All records of the account, by the investigator's search; a clear refusal is asked again, as clients do."""
    until = time.monotonic() + patience
    while True:
        *events, last = search(port, {"accounts": [ACCOUNT], "limit": None})
        if "cursor" in last:
            return [event["record"] for event in events]
        assert last["error"]["code"] == "ServiceUnavailable", last
        assert time.monotonic() < until, f"the history was not readable for {patience} s: {last}"
        threading.Event().wait(0.2)


def search(port: int, search: dict[str, object]) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/_skytrail/lookup", json.dumps(search))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 200, f"lookup: {response.status} {body[:500]!r}"
    return [json.loads(line) for line in body.splitlines()]
