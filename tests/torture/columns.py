"""kill -9 of the columns' process, and queries that exhaust its memory, at random moments under load.

Calls go on being answered and recorded; reads wait or fail clearly; all is there after the process's restart.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import tempfile
import threading
import urllib.request
from pathlib import Path

from botocore.config import Config
from botocore.exceptions import ClientError

from skytrail.testing import Server, Skytrail
from skytrail.testing.server import descendants

from .crash import CLIENTS, verify
from .load import Acknowledged, run_client, search

#: Too little for a search over the large records that are planted first.
QUERY_MEMORY = 16 << 20


def column_rounds(rounds: int, seed: int, report: bool = False) -> int:
    with tempfile.TemporaryDirectory(prefix="skytrail-torture-") as folder:
        data = Path(folder)
        acknowledged = _rounds(data, rounds, random.Random(seed), report)
        # With more memory, so that everything can be read.
        with Server(data=data) as server:
            verify(server.port, acknowledged)
    return len(acknowledged.request_ids)


def _rounds(data: Path, rounds: int, choice: random.Random, report: bool) -> Acknowledged:
    acknowledged = Acknowledged()
    with Server(data=data, environment={"SKYTRAIL_COLUMNS_QUERY_MEMORY_BYTES": str(QUERY_MEMORY)}) as server:
        _plant(server)
        exhausted = 0
        stop = threading.Event()
        clients = [
            threading.Thread(target=run_client, args=(server.port, f"c{client}", acknowledged, choice.random(), stop))
            for client in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            for number in range(rounds):
                stop.wait(choice.uniform(0.05, 0.8))
                before = len(acknowledged.request_ids)
                exhausted += _exhaust(server)
                os.kill(columns_process(server.pid), signal.SIGKILL)
                stop.wait(0.3)
                assert len(acknowledged.request_ids) > before, "no call was answered while the columns were away"
                if report:
                    print(f"round {number + 1}: {len(acknowledged.request_ids)} acknowledged", flush=True)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert all(not client.is_alive() for client in clients)
        assert exhausted, "no query exhausted its memory"
        search(server.port, {"limit": 1})  # waits for the process
        with urllib.request.urlopen(f"{server.endpoint}/health") as response:
            assert json.load(response)["columns"] == "ready"
    return acknowledged


def _plant(server: Server) -> None:
    """Records of another account, as large as they can be."""
    s3 = Skytrail(server.endpoint).client("s3", config=Config(retries={"total_max_attempts": 1}))
    text = "".join(chr(33 + number % 90) * 7 for number in range(12_000))
    for number in range(150):
        with contextlib.suppress(ClientError):  # S3 is not there yet
            s3.put_bucket_policy(Bucket=f"bucket-{number}", Policy=json.dumps({"Statement": text}))


def _exhaust(server: Server) -> bool:
    """Search through everything; whether that met the limit of memory, as it should."""
    last = search(server.port, {"limit": None})[-1]
    assert "cursor" in last or last["error"]["code"] == "ServiceUnavailable", last
    return "met its limit" in last.get("error", {}).get("message", "")


def columns_process(pid: int) -> int:
    """The server's child that holds the columns."""
    while True:
        for child in descendants(pid):
            if b"columns.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
