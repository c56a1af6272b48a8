"""kill -9 of the columns' process, and queries that exhaust its memory, at random moments under load.

Calls go on being answered and recorded; reads wait or fail clearly; all is there after the process's restart.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import urllib.request
from pathlib import Path

from skytrail.testing import Server

from .crash import CLIENTS, verify
from .load import Acknowledged, run_client


def column_rounds(rounds: int, seed: int, report: bool = False) -> int:
    choice = random.Random(seed)
    acknowledged = Acknowledged()
    with Server() as server:
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
        verify(server.port, acknowledged)
        with urllib.request.urlopen(f"{server.endpoint}/health") as response:
            assert json.load(response)["columns"] == "ready"
    return len(acknowledged.request_ids)


def columns_process(pid: int) -> int:
    """The server's child that holds the columns."""
    while True:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"columns.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
