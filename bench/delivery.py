"""How fast records become files in a bucket, and in how much memory."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from isal import igzip

from skytrail.call import Source
from skytrail.identity.principals import root
from skytrail.server import Skytrail
from skytrail.services import SCHEMAS
from skytrail.services.cloudtrail.delivery import deliveries, spool
from skytrail.services.cloudtrail.trails import model
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.settings import load as load_settings
from skytrail.storage.directory import DataDirectory
from skytrail.storage.store import Store, Transaction
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route

from . import records
from .harness import Figure
from .load import ACCOUNT

_BUCKET, _REGION = "bench-trail", "us-east-1"
_DAY = 86400
#: As many records as a file of 50 MB has, roughly.
_BASELINE_FILE = 100_000


def delivery(runs: int, _: float, __: Path | None, count: int = 1_000_000) -> list[Figure]:
    """A journal of records, to gzip files in a bucket: CPU of the whole process, with reading, sorting and the Merkle
    log; against isal and orjson alone on the same records, which read them and write them anew."""
    rate = Figure("records to files in the bucket, a core", "records/s", "more")
    alone = Figure("isal and orjson alone, a core", "records/s", "more")
    share = Figure("share of isal and orjson alone", "%", "more", 50)
    memory = Figure(f"memory grown, {count:,} records", "MB", "less", 200)
    for _run in range(max(1, runs // 3)):
        folder = Path(tempfile.mkdtemp(prefix="skytrail-bench-"))
        try:
            ours, grown = asyncio.run(_deliver(folder, count))
        finally:
            shutil.rmtree(folder)
        theirs = _alone(min(count, 200_000))
        rate.runs.append(ours)
        alone.runs.append(theirs)
        share.runs.append(100 * ours / theirs)
        memory.runs.append(grown)
    return [rate, alone, share, memory]


def _alone(count: int) -> float:
    texts = [records.record(number, count, time.time(), _DAY) for number in range(count)]
    begun = time.process_time()
    for first in range(0, count, _BASELINE_FILE):
        documents = [orjson.loads(text) for text in texts[first : first + _BASELINE_FILE]]
        igzip.compress(orjson.dumps({"Records": documents}), 2)
    return count / (time.process_time() - begun)


async def _deliver(folder: Path, count: int) -> tuple[float, float]:
    """(records a second of CPU, megabytes that the process grew by)."""
    settings = load_settings(
        environ={}, overrides={"storage.data": str(folder), "trail.delivery_interval": 1e6, "storage.durability": "os"}
    )
    skytrail = Skytrail(settings)
    await skytrail.start()
    await _prepare(skytrail)
    await skytrail.stop()
    await _fill(folder, count)
    skytrail = Skytrail(settings)
    before, begun = _peak(), time.process_time()
    await skytrail.start()
    try:
        await skytrail.engines.column_writer.stop()
        of, store = deliveries.of(skytrail.engines), skytrail.engines.store
        await of.feed.catch_up()
        await of._tick()
        while spool.due(store.read) or skytrail.engines.outbox.pending("trail-files"):
            await skytrail.engines.outbox.settle()
            await of._tick()
        return count / (time.process_time() - begun), _peak() - before
    finally:
        await skytrail.stop()


async def _fill(folder: Path, count: int) -> None:
    directory = DataDirectory(folder)
    store = Store(directory.database, durability="os", rooms=SCHEMAS)
    newest = time.time()
    trail = Trail("bench", ACCOUNT, _REGION, "bench", _BUCKET, multi_region=True, validation=True, logging=True)
    await store.submit(lambda tx: model.save(tx, trail))
    for first in range(0, count, 5000):
        texts = [records.record(number, count, newest, _DAY) for number in range(first, min(count, first + 5000))]
        await store.submit(lambda tx, texts=texts: _append(tx, texts))  # type: ignore[misc]
    store.close()
    directory.close()


async def _prepare(skytrail: Skytrail) -> None:
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{_BUCKET}/*",
    }
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": [allow]}).decode()
    await _call(skytrail, "CreateBucket", Bucket=_BUCKET)
    await _call(skytrail, "PutBucketPolicy", Bucket=_BUCKET, Policy=policy)


async def _call(skytrail: Skytrail, operation: str, **given: Any) -> None:
    service = models.service("s3")
    found = service.operation(operation)
    assert found is not None
    call = skytrail.pipeline.receive(Request("POST", "/", "", {}), Source("127.0.0.1"))
    call.route = Route(service, found, service.protocols[0])
    call.account, call.region, call.identity, call.input = ACCOUNT, _REGION, root(ACCOUNT), given
    await skytrail.pipeline.perform(call)
    if call.error is not None:
        raise call.error


def _append(tx: Transaction, texts: list[bytes]) -> None:
    for text in texts:
        tx.append("audit", text)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
