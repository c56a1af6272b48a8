from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skytrail.storage.objects import Objects


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
