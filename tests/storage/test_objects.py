from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skytrail.errors import StorageError
from skytrail.storage.objects import PIECE_BYTES, Objects


async def read(objects: Objects, path: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in objects.get(path, start, end)])


def test_a_body_comes_back_whole_and_in_parts(tmp_path: Path) -> None:
    async def scenario() -> None:
        objects = Objects(tmp_path / "objects")
        await objects.put("a/b c/ü.gz", b"0123456789")
        assert await objects.size("a/b c/ü.gz") == 10
        assert await read(objects, "a/b c/ü.gz") == b"0123456789"
        assert await read(objects, "a/b c/ü.gz", 3) == b"3456789"
        assert await read(objects, "a/b c/ü.gz", 3, 5) == b"34"
        assert await read(objects, "a/b c/ü.gz", 5, 5) == b""
        await objects.put("a/b c/ü.gz", b"new")
        assert await read(objects, "a/b c/ü.gz") == b"new"

    asyncio.run(scenario())


def test_a_body_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(1 << 20)
        raise ConnectionError("the sender has gone")

    async def scenario() -> None:
        objects = Objects(tmp_path)
        await objects.put("kept", b"old")
        with pytest.raises(Exception, match="the sender has gone"):
            await objects.put("kept", broken())
        assert await read(objects, "kept") == b"old"

    asyncio.run(scenario())


def test_what_is_deleted_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        objects = Objects(tmp_path, durability="os")
        for path in ("x/1", "x/2", "y/1"):
            await objects.put(path, b"body")
        assert sorted([path async for path in objects.list()]) == ["x/1", "x/2", "y/1"]
        assert sorted([path async for path in objects.list("x")]) == ["x/1", "x/2"]
        await objects.delete("x/1")
        await objects.delete("x/1")
        assert await objects.size("x/1") is None
        with pytest.raises(FileNotFoundError):
            await read(objects, "x/1")

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/../outside"])
def test_no_path_leads_out_of_the_directory(tmp_path: Path, path: str) -> None:
    objects = Objects(tmp_path / "objects", durability="os")
    with pytest.raises(Exception, match=r"(?i)path|illegal|invalid"):
        asyncio.run(objects.put(path, b"x"))
    assert not (tmp_path / "outside").exists()


def test_a_large_body_comes_in_pieces(tmp_path: Path) -> None:
    body = bytes(range(256)) * (5 * PIECE_BYTES // 512)

    async def scenario() -> None:
        objects = Objects(tmp_path, durability="os")
        await objects.put("large", body)
        pieces = [piece async for piece in objects.get("large", 3)]
        assert b"".join(pieces) == body[3:]
        assert max(map(len, pieces)) == PIECE_BYTES
        assert await read(objects, "large", PIECE_BYTES - 1, PIECE_BYTES + 1) == body[PIECE_BYTES - 1 : PIECE_BYTES + 1]
        assert await read(objects, "large", 0, 1 << 40) == body

    asyncio.run(scenario())


def test_a_body_that_is_replaced_while_it_is_read_is_not_mixed(tmp_path: Path) -> None:
    async def scenario() -> None:
        objects = Objects(tmp_path, durability="os")
        await objects.put("x", bytes(2 * PIECE_BYTES))
        stream = objects.get("x")
        await anext(stream)
        await objects.put("x", b"1" * (2 * PIECE_BYTES + 1))
        with pytest.raises(StorageError, match="replaced"):
            await anext(stream)

    asyncio.run(scenario())


def test_what_a_crash_has_left_unfinished_goes_at_the_next_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        objects = Objects(tmp_path, durability="os")
        await objects.put("s3/a/whole", b"x")
        await objects.put("other/whole", b"x")
        left = [tmp_path / "s3/a/whole#1", tmp_path / "s3/b#23", tmp_path / "other/x#1"]
        for file in left:
            file.write_bytes(b"half")
            os.utime(file, (0, 0))
        restarted = Objects(tmp_path, durability="os")
        running = tmp_path / "s3/a/new#1"
        running.write_bytes(b"half")
        await restarted.remove_remnants("s3")
        assert [file.exists() for file in [*left, running]] == [False, False, True, True]
        assert await read(restarted, "s3/a/whole") == b"x"

    asyncio.run(scenario())


def test_a_body_and_the_folders_made_for_it_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "skytrail.storage.objects._fsync", lambda path: synced.append(str(path.relative_to(tmp_path.parent)))
    )

    async def scenario() -> None:
        objects = Objects(tmp_path)
        await objects.put("a/b/1", b"x")
        await objects.put("a/b/2", b"x")
        await objects.put("a/c/3", b"x")

    asyncio.run(scenario())
    root = tmp_path.name
    assert synced == [
        *(f"{root}/a/b/1", f"{root}/a/b", f"{root}/a", root),
        *(f"{root}/a/b/2", f"{root}/a/b"),
        *(f"{root}/a/c/3", f"{root}/a/c", f"{root}/a"),
    ]
