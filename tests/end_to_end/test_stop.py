"""A stop under load: what was answered is kept, what was refused was not done, and nothing is in between."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from skytrail.testing import Server

from .kit import client, investigated

ACCOUNT = "111122223333"
CLIENTS = 8
HEADERS = {
    "content-type": "application/x-www-form-urlencoded",
    "authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/us-east-1/iam/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


@dataclass
class Outcomes:
    """What became of each user that a client asked for."""

    made: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


def make_users(port: int, prefix: str, outcomes: Outcomes) -> None:
    """Call over one connection until the server ends it or lets nobody in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    number = 0
    while True:
        number += 1
        user = f"{prefix}-{number}"
        body = urlencode({"Action": "CreateUser", "UserName": user, "Version": "2010-05-08"})
        try:
            connection.request("POST", "/", body, HEADERS)
            response = connection.getresponse()
            text = response.read().decode()
        except (ConnectionError, http.client.RemoteDisconnected):
            with outcomes.lock:
                outcomes.unanswered.add(user)
            connection.close()
            return
        with outcomes.lock:
            if response.status == 200:
                outcomes.made[user] = response.headers["x-amzn-requestid"]
            elif response.status == 503 and "ServiceUnavailable" in text and response.will_close:
                outcomes.refused.add(user)
            else:
                outcomes.strange.append(f"{response.status} {text}")
            if len(outcomes.made) >= 300:
                outcomes.enough.set()


def test_a_stop_under_load_keeps_what_was_answered_and_nothing_else(tmp_path: Path) -> None:
    outcomes = Outcomes()
    with Server(data=tmp_path / "data", durability="fsync") as server:
        clients = [
            threading.Thread(target=make_users, args=(server.port, f"c{number}", outcomes)) for number in range(CLIENTS)
        ]
        for thread in clients:
            thread.start()
        assert outcomes.enough.wait(60)
        assert server.stop() == 0
        for thread in clients:
            thread.join(60)
        assert not any(thread.is_alive() for thread in clients)
        assert outcomes.strange == []

        server.start()
        users = {
            user["UserName"]
            for page in client(server, "iam", account=ACCOUNT).get_paginator("list_users").paginate()
            for user in page["Users"]
        }
        assert users == outcomes.made.keys()
        recorded = [record["requestID"] for record in investigated(server, "--name", "CreateUser")]
        assert sorted(recorded) == sorted(outcomes.made.values())
        assert outcomes.refused | outcomes.unanswered
