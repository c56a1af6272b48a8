"""What is measured."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from skytrail.storage.directory import DataDirectory
from skytrail.storage.store import Store, Transaction

from . import records
from .delivery import delivery
from .event_selectors import selectors
from .harness import Figure, flow, load, resident_megabytes, server
from .insights import insights
from .upstreams import upstreams
from .verify import checking

DAY = 86400
Suite = Callable[[int, float, Path | None], list[Figure]]


def calls(runs: int, seconds: float, source: Path | None) -> list[Figure]:
    """Audited, durable calls: rates and latencies, and memory under load."""
    one = Figure("durable calls, 1 connection: p50", "ms", "less", 3)
    one_rate = Figure("durable calls, 1 connection", "calls/s", "more")
    many = Figure("durable calls, 32 connections", "calls/s", "more", 2500)
    tail = Figure("durable calls, 32 connections: p99", "ms", "less")
    writes = Figure("durable writes of state, 32 connections", "calls/s", "more")
    memory = Figure("memory under load, server and columns", "MB", "less")
    with server(source=source) as running:
        load(running.port, "--call", "prepare", "--seconds", "0")
        for _ in range(runs):
            single = load(running.port, "--connections", "1", "--seconds", str(seconds))
            one.runs.append(single["p50"])
            one_rate.runs.append(single["rate"])
            crowd = load(running.port, "--connections", "32", "--seconds", str(seconds))
            many.runs.append(crowd["rate"])
            tail.runs.append(crowd["p99"])
            memory.runs.append(resident_megabytes(running.pid))
            writes.runs.append(
                load(running.port, "--connections", "32", "--call", "write", "--seconds", str(seconds))["rate"]
            )
    return [one, one_rate, many, tail, writes, memory]


def recording(runs: int, seconds: float, source: Path | None) -> list[Figure]:
    """What the record costs: the same call with recording on and off, in turn."""
    share = Figure("recording's share of a call, 1 connection", "%", "less")
    crowd_share = Figure("recording's share of a call, 32 connections", "%", "less")
    with server(source=source) as on, server(source=source, program="bench.unrecorded") as off:
        for _ in range(runs):
            for figure, connections in ((share, "1"), (crowd_share, "32")):
                arguments = ("--connections", connections, "--seconds", str(seconds))
                with_record, without = load(on.port, *arguments), load(off.port, *arguments)
                figure.runs.append(100 * (1 - with_record["rate"] / without["rate"]))
    return [share, crowd_share]


def start(runs: int, _: float, source: Path | None) -> list[Figure]:
    """From the command to the first answer, and the memory of a server that has nothing to do."""
    took = Figure("start-up on an empty directory", "s", "less", 2)
    memory = Figure("memory idle, server and columns", "MB", "less", 400)
    for _run in range(runs):
        begun = time.perf_counter()
        with server(source=source) as running:
            took.runs.append(time.perf_counter() - begun)
            load(running.port, "--lookup", "ReadOnly", "true", "--seconds", "0.5")
            memory.runs.append(resident_megabytes(running.pid))
    return [took, memory]


def lookups(runs: int, seconds: float, source: Path | None, count: int = 1_000_000) -> list[Figure]:
    """LookupEvents by each key over a million records, for common and for rare values."""
    folder = Path(tempfile.mkdtemp(prefix="skytrail-bench-"))
    try:
        fill(folder, count)
        ingest = Figure(f"{count:,} records from journal to columns", "records/s", "more")
        figures = []
        with server(data=folder, source=source) as running:
            begun = time.perf_counter()
            _until_readable(running.port)
            ingest.runs.append(count / (time.perf_counter() - begun))
            # A million records at once leave parts to merge and a journal to trim; a server's day does not.
            load(running.port, "--lookup", "ReadOnly", "true", "--seconds", "20")
            for key, common, rare in records.keys(count):
                for kind, value in (("common", common), ("rare", rare)):
                    figure = Figure(f"LookupEvents {key}, {kind}: p50", "ms", "less", 60)
                    for _run in range(runs):
                        figure.runs.append(
                            load(running.port, "--lookup", key, value, "--seconds", str(min(seconds, 2)))["p50"]
                        )
                    figures.append(figure)
        return [ingest, *figures]
    finally:
        shutil.rmtree(folder)


def _until_readable(port: int, patience: float = 300) -> None:
    """Look up until the columns have caught up with the journal; until then a look-up waits, then is refused."""
    until = time.perf_counter() + patience
    while time.perf_counter() < until:
        try:
            load(port, "--lookup", "ReadOnly", "true", "--seconds", "0")
        except RuntimeError:
            continue
        return
    raise TimeoutError(f"the columns have not caught up in {patience:.0f} s")


def fill(folder: Path, count: int) -> None:
    """Put generated records of the last sixty days into the journal of an unused data directory."""
    newest = time.time() - 60
    directory = DataDirectory(folder)
    store = Store(directory.database, durability="os")

    def append(first: int, last: int) -> Callable[[Transaction], None]:
        def command(transaction: Transaction) -> None:
            for number in range(first, last):
                transaction.append("audit", records.record(number, count, newest, 60 * DAY))

        return command

    async def run() -> None:
        for first in range(0, count, 10_000):
            await store.submit(append(first, min(first + 10_000, count)))

    asyncio.run(run())
    store.close()
    directory.close()


def flows(runs: int, seconds: float, source: Path | None) -> list[Figure]:
    """Messages, notices and objects, durably."""
    measured = {
        "messages": Figure("SQS: sent, received and deleted by tens, 4 connections", "messages/s", "more", 1000),
        "fifo-messages": Figure("the same of a FIFO queue", "messages/s", "more"),
        "notices": Figure("SNS to SQS: published by tens, received and deleted", "messages/s", "more", 1000),
        "objects": Figure("S3: PutObject of 4 KB, 32 connections", "objects/s", "more", 600),
    }
    for _ in range(runs):
        for name, figure in measured.items():
            with server(source=source) as running:
                connections = "32" if name == "objects" else "4"
                arguments = ("--connections", connections, "--seconds", str(seconds))
                figure.runs.append(flow(running.port, name, *arguments, source=source))
    return list(measured.values())


SUITES: dict[str, Suite] = {
    "calls": calls,
    "recording": recording,
    "start": start,
    "lookups": lookups,
    "flows": flows,
    "upstreams": upstreams,
    "insights": insights,
    "delivery": delivery,
    "selectors": selectors,
    "verify": checking,
}
