"""Objects' bodies on disk: sealed, whole or not there, there as long as they are read, gone once nobody needs them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.services.s3 import bodies, frames, getting
from skytrail.services.s3.checksums import Claim
from skytrail.storage.store import Transaction

from .s3_objects_house import MIB, Objects, streamed

KEY = bytes(range(32))


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Objects]:
    s3 = Objects(tmp_path)
    yield s3
    s3.close()


# Frames


def sealed(data: bytes, key: bytes = KEY) -> bytes:
    sealing = frames.Sealing(key)
    return sealing.feed(data) + sealing.finish()


def opened(on_disk: bytes, size: int) -> bytes:
    opening = frames.Opening(KEY, size)
    data = opening.feed(on_disk)
    opening.finish()
    return data


@given(st.data())
def test_frames_open_in_any_pieces_and_parts(data: st.DataObject) -> None:
    size = data.draw(st.one_of(st.integers(0, 100), st.integers(65_500, 65_600), st.integers(130_000, 200_000)))
    body = bytes(index * 31 % 256 for index in range(size))
    cut = data.draw(st.integers(0, size))
    sealing = frames.Sealing(KEY)
    on_disk = sealing.feed(body[:cut]) + sealing.feed(body[cut:]) + sealing.finish()
    assert len(on_disk) == frames.sealed_size(size)
    start = data.draw(st.integers(0, max(0, size - 1)))
    end = data.draw(st.integers(start, size))
    first, begins, ends = frames.span(size, start, end)
    opening = frames.Opening(KEY, size, first)
    middle = data.draw(st.integers(begins, ends))
    opened = opening.feed(on_disk[begins:middle]) + opening.feed(on_disk[middle:ends])
    opening.finish()
    assert opened[start - first * frames.FRAME_BYTES :][: end - start] == body[start:end]


@pytest.mark.parametrize("change", ["flipped", "cut", "swapped", "longer", "other key", "shorter"])
def test_frames_do_not_open_when_anything_was_changed(change: str) -> None:
    data = bytes(3 * frames.FRAME_BYTES)
    on_disk = bytearray(sealed(data, bytes(32) if change == "other key" else KEY))
    frame = frames.FRAME_BYTES + 16
    size = len(data)
    if change == "flipped":
        on_disk[frame + 7] ^= 1
    elif change == "cut":
        size = 2 * frames.FRAME_BYTES
        del on_disk[2 * frame :]
    elif change == "swapped":
        on_disk[:frame], on_disk[frame : 2 * frame] = on_disk[frame : 2 * frame], on_disk[:frame]
    elif change == "longer":
        on_disk += bytes(5)
    elif change == "shorter":
        del on_disk[-5:]
    with pytest.raises(frames.Damaged):
        opened(bytes(on_disk), size)


# On disk


def test_nothing_can_be_read_on_disk(s3: Objects) -> None:
    body = b"a secret that is easily found " * 1000
    s3.put("secret-name", body, Metadata={"a": "b"})
    s3.put("secret-name", body)
    (file,) = s3.files()
    content = file.read_bytes()
    assert b"secret" not in content
    assert len(content) == frames.sealed_size(len(body))
    s3.put("again", body)
    first, second = (file.read_bytes() for file in s3.files())
    assert first[:100] != second[:100]


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("change", ["flip", "cut", "gone", "other"])
def test_a_body_that_was_changed_on_disk_is_an_error(
    s3: Objects, size: int, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    s3.put("other", bytes(size))
    (other,) = s3.files()
    s3.put(body=bytes(size))
    (file,) = set(s3.files()) - {other}
    if change == "flip":
        content = bytearray(file.read_bytes())
        content[5] ^= 1
        file.write_bytes(content)
    elif change == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif change == "gone":
        file.unlink()
    else:
        file.write_bytes(other.read_bytes())
    with pytest.raises((ServiceError, frames.Damaged)) as caught:
        s3.get()
    if change != "cut" or size == 10:
        assert isinstance(caught.value, ServiceError)
        assert (caught.value.code, caught.value.status) == ("InternalError", 500)
        assert "cannot be read" in caplog.text
    assert s3.get("other") == bytes(size)
    assert s3.there()


def test_wrong_bytes_never_leave_whatever_was_changed(s3: Objects) -> None:
    """An answer that has begun breaks off."""
    body = bytes(range(256)) * (3 * MIB // 256)
    s3.put(body=body)
    (file,) = s3.files()
    content = bytearray(file.read_bytes())
    content[2 * MIB] ^= 1
    file.write_bytes(content)

    async def scenario() -> tuple[bytes, bool]:
        got, broke = b"", False
        try:
            service = await s3_get(s3)
            async for piece in service:
                got += piece
        except frames.Damaged:
            broke = True
        return got, broke

    got, broke = s3.run(scenario())
    assert broke
    assert MIB <= len(got) < 2 * MIB + frames.FRAME_BYTES
    assert body.startswith(got)


async def s3_get(s3: Objects, key: str = "key") -> Any:
    """The body as it streams."""
    await s3.ask("HeadObject", {"Key": key})
    output = await getting.get_object(s3.last, {"Bucket": s3.bucket, "Key": key}, s3.engines)
    return output["Body"]


# Interrupted


@pytest.mark.parametrize("pieces", [1, 3])
def test_an_upload_that_breaks_off_leaves_nothing(s3: Objects, pieces: int) -> None:
    s3.put(body=b"old")
    gone = ServiceError("IncompleteBody", "The client is gone.", status=400)
    body = streamed(*[bytes(MIB)] * pieces, length=10 * MIB, breaks=gone)
    assert s3.code("PutObject", Key="key", Body=body) == "IncompleteBody"
    assert s3.get() == b"old"
    assert len(s3.files()) == 1
    upload = s3.upload()
    body = streamed(*[bytes(MIB)] * pieces, length=10 * MIB, breaks=gone)
    assert s3.code("UploadPart", Key="key", UploadId=upload, PartNumber=1, Body=body) == "IncompleteBody"
    assert s3("ListParts", Key="key", UploadId=upload)["Parts"] == []
    assert len(s3.files()) == 1


def test_an_upload_that_is_cancelled_leaves_nothing(s3: Objects) -> None:
    async def scenario() -> None:
        come = asyncio.Event()

        async def waiting() -> Any:
            yield bytes(2 * MIB)
            come.set()
            await asyncio.Event().wait()

        body = streamed(length=4 * MIB)
        body._pieces = waiting()
        task = asyncio.create_task(s3.ask("PutObject", {"Key": "key", "Body": body}))
        await come.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    s3.run(scenario())
    assert not s3.there()
    assert s3.files() == []


def test_a_change_that_fails_in_the_writer_takes_its_body_along(s3: Objects) -> None:
    s3.put(body=b"old")

    async def scenario() -> None:
        with pytest.raises(ServiceError, match="InternalFailure"):
            await s3.ask("PutObject", {"Key": "key", "Body": b"new"})

    s3.store._writing.execute("CREATE TRIGGER broken BEFORE INSERT ON s3_objects BEGIN SELECT raise(ABORT, 'no'); END")
    s3.run(scenario())
    s3.store._writing.execute("DROP TRIGGER broken")
    assert s3.get() == b"old"
    assert len(s3.files()) == 1


# Overwritten and removed


def test_an_object_that_is_read_while_it_is_overwritten_comes_whole(s3: Objects) -> None:
    first, second = bytes([1]) * 5 * MIB, bytes([2]) * 5 * MIB
    upload = s3.upload()
    s3.complete(upload, [s3.part(upload, 1, first), s3.part(upload, 2, second)])

    async def scenario() -> bytes:
        stream = await s3_get(s3)
        got: bytes = await anext(stream)
        await s3.ask("PutObject", {"Key": "key", "Body": b"new"})
        await bodies.of(s3.engines).clean()
        async for piece in stream:
            got += piece
        return got

    assert s3.run(scenario()) == first + second
    gc.collect()
    assert s3.get() == b"new"
    assert len(s3.files()) == 1
    assert s3.rows("s3_removed") == 0


def test_bodies_go_by_themselves_once_the_change_is_on_disk(s3: Objects) -> None:
    async def scenario() -> None:
        for number in range(20):
            await s3.ask("PutObject", {"Key": "key", "Body": str(number).encode()})
        await s3.ask("DeleteObject", {"Key": "key"})
        for _ in range(20):  # each answer gives the removal a turn
            await s3.ask("ListObjectsV2", {})
            await bodies.of(s3.engines).settle()

    s3.run(scenario())
    assert not [path for path in (s3.data / "objects").rglob("*") if path.is_file()]
    assert s3.rows("s3_bodies") == s3.rows("s3_removed") == 0


def test_a_removal_that_a_crash_has_cut_is_done_at_the_next_start(s3: Objects) -> None:
    s3.put()
    (file,) = s3.files()
    content = file.read_bytes()
    s3("DeleteObject", Key="key")
    s3.files()
    file.write_bytes(content)  # as if the file had not gone before the crash

    def insert(tx: Transaction) -> None:
        tx.connection.execute("INSERT INTO s3_removed VALUES (?)", (str(file.relative_to(s3.data / "objects")),))

    async def scenario() -> None:
        await s3.store.submit(insert)
        await bodies.of(s3.engines).begin()

    s3.run(scenario())
    assert not file.exists()
    assert s3.rows("s3_removed") == 0


def test_what_nothing_knows_of_is_swept_at_the_start_and_nothing_else(s3: Objects) -> None:
    s3.put(body=b"kept")
    upload = s3.upload("parts")
    s3.part(upload, 1, b"part", "parts")
    kept = s3.files()
    orphans = [kept[0].with_name("0" * 32), s3.data / "objects/s3/gone/00" / ("1" * 32)]
    for orphan in orphans:
        orphan.parent.mkdir(parents=True, exist_ok=True)
        orphan.write_bytes(b"x")
    outside = s3.data / "objects" / "other" / "file"
    outside.parent.mkdir()
    outside.write_bytes(b"x")

    async def scenario() -> bytes:
        come, go = asyncio.Event(), asyncio.Event()

        async def slow() -> Any:
            yield bytes(2 * MIB)
            come.set()
            await go.wait()
            yield bytes(MIB)

        body = streamed(length=3 * MIB)
        body._pieces = slow()
        task = asyncio.create_task(s3.ask("PutObject", {"Key": "slow", "Body": body}))
        await come.wait()
        draft = await bodies.of(s3.engines).write("b", b"draft", KEY, "CRC32", Claim())
        await bodies.of(s3.engines).begin()
        go.set()
        await task
        assert await s3.engines.objects.size(draft.path) is not None
        output = await s3.ask("GetObject", {"Key": "slow"})
        body_: bytes = output["Body"]
        return body_

    assert s3.run(scenario()) == bytes(3 * MIB)
    assert not any(orphan.exists() for orphan in orphans)
    assert outside.exists()
    assert s3.get() == b"kept"
    assert all(file.exists() for file in kept)
    s3.run(_sweep(s3))
    assert len(s3.files()) == 4  # the draft went with whoever held it


async def _sweep(s3: Objects) -> None:
    await bodies.of(s3.engines).sweep()


def test_everything_is_there_after_a_restart(s3: Objects) -> None:
    s3.versioning("Enabled")
    first = s3.put(body=b"1", Metadata={"n": "1"})["VersionId"]
    s3.put(body=bytes(2 * MIB))
    upload = s3.upload("parts")
    part = s3.part(upload, 1, b"part", "parts")
    s3.store.close()
    s3.open()
    assert s3.get(VersionId=first) == b"1"
    assert s3.get() == bytes(2 * MIB)
    assert s3("HeadObject", Key="key", VersionId=first)["Metadata"] == {"n": "1"}
    s3.complete(upload, [part], "parts")
    assert s3.get("parts") == b"part"


def test_a_minute_later_what_was_read_goes_too(s3: Objects) -> None:
    async def scenario() -> None:
        bodies.start(s3.engines)
        await s3.clock.advance(1)
        await s3.ask("PutObject", {"Key": "key", "Body": bytes(2 * MIB)})
        stream = await s3_get(s3)
        await anext(stream)
        await s3.ask("DeleteObject", {"Key": "key"})
        await s3.clock.advance(120)
        assert len(list((s3.data / "objects/s3").rglob("*/*/*"))) == 1
        await stream.aclose()
        del stream
        gc.collect()
        for _ in range(2):
            await s3.clock.advance(60)

    s3.run(scenario())
    assert not [path for path in (s3.data / "objects/s3").rglob("*") if path.is_file()]
