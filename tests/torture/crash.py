"""kill -9 of the server at random moments under load, over one data directory.

After each restart: every acknowledged call is in the history exactly once; no effect stands without its record,
and no record of an effect without the effect.
"""

from __future__ import annotations

import http.client
import random
import re
import tempfile
import threading
from collections import Counter
from pathlib import Path

from skytrail.testing import Server

from .load import ACCOUNT, Acknowledged, query, records, run_client

CLIENTS = 6


def crash_rounds(rounds: int, seed: int, report: bool = False) -> int:
    """Run; returns how many calls were acknowledged. Raises AssertionError at the first loss."""
    choice = random.Random(seed)
    acknowledged = Acknowledged()
    with tempfile.TemporaryDirectory(prefix="skytrail-torture-") as folder:
        server = Server(data=Path(folder)).start()
        try:
            for number in range(rounds):
                _load_then_kill(server, acknowledged, number, choice)
                server.start()
                verify(server.port, acknowledged)
                if report:
                    print(f"round {number + 1}: {len(acknowledged.request_ids)} acknowledged, none lost", flush=True)
        except AssertionError as error:
            raise AssertionError(f"{error}\nseed {seed}; the server's log ends:\n{server.log()[-3000:]}") from None
        finally:
            server.kill()
    return len(acknowledged.request_ids)


def _load_then_kill(server: Server, acknowledged: Acknowledged, number: int, choice: random.Random) -> None:
    stop = threading.Event()
    clients = [
        threading.Thread(
            target=run_client, args=(server.port, f"r{number}c{client}", acknowledged, choice.random(), stop)
        )
        for client in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    stop.wait(choice.uniform(0.02, 0.6))
    server.kill()
    stop.set()
    for client in clients:
        client.join()


def verify(port: int, acknowledged: Acknowledged) -> None:
    history = records(port)
    count = Counter(str(record["requestID"]) for record in history)
    lost = [request_id for request_id in acknowledged.request_ids if not count[request_id]]
    assert not lost, f"{len(lost)} acknowledged calls have no record, the first {lost[0]}"
    doubled = [request_id for request_id, times in count.items() if times > 1]
    assert not doubled, f"{len(doubled)} calls are recorded more than once, the first {doubled[0]}"
    made = {
        record["requestParameters"]["userName"]  # type: ignore[index]
        for record in history
        if record["eventName"] == "CreateUser" and "errorCode" not in record
    }
    standing = users(port)
    assert standing == made, f"effects and records differ: {sorted(standing ^ made)[:5]}"
    assert acknowledged.users <= standing, f"{ACCOUNT}: acknowledged users are gone"


def users(port: int) -> set[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    names: set[str] = set()
    marker: dict[str, str] = {}
    try:
        while True:
            _, _, body = query(connection, "iam", Action="ListUsers", MaxItems="1000", **marker)
            names.update(re.findall(r"<UserName>(.*?)</UserName>", body.decode()))
            following = re.search(r"<Marker>(.*?)</Marker>", body.decode())
            if following is None:
                return names
            marker = {"Marker": following[1]}
    finally:
        connection.close()
