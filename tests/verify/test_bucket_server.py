"""A server of S3 is not believed: what it announces, what it lists, and that it comes to an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skytrail.cli import buckets
from skytrail.cli.aws import CallFailed

from .test_bucket import Check, Faulty, Trail, check, s3, trail

__all__ = ["check", "s3", "trail"]


class _Pouring:
    """A body that never ends."""

    def iter_chunks(self, _: int) -> Iterator[bytes]:
        while True:
            yield bytes(1 << 16)

    def close(self) -> None:
        pass


def test_no_more_is_written_than_was_announced(s3: Any, trail: Trail, check: Check) -> None:
    for key in (trail.chain.logs[trail.chain.digests[0]][0], trail.chain.digests[1]):
        client = Faulty(s3, key, lambda: {"Body": _Pouring(), "ContentLength": 1 << 18})
        into = trail.chain.root.parent / str(len(key))
        (finding,) = check(trail.bucket.name, client=client, into=into).findings
        assert (finding.kind.value.partition("-")[2], finding.file.split("/", 3)[-1]) == ("too-large", key)
        assert "more than the 262144 bytes that were announced" in finding.reason


def test_a_length_that_is_none_is_refused(s3: Any, trail: Trail, check: Check) -> None:
    log = trail.chain.logs[trail.chain.digests[0]][0]
    with pytest.raises(CallFailed, match="does not say how many bytes it has"):
        check(trail.bucket.name, client=Faulty(s3, log, lambda: {"Body": _Pouring(), "ContentLength": -5}))

    class Silent:
        def __getattr__(self, name: str) -> Any:
            return getattr(s3, name)

        def get_object(self, **_: Any) -> Any:
            return {"Body": _Pouring()}

    with pytest.raises(CallFailed, match="does not say how many bytes it has"):
        check(trail.bucket.name, client=Silent(), into=trail.chain.root.parent / "again")


class Listing:
    """The client, with other pages of a Region's folder, or of folders."""

    def __init__(self, client: Any, pages: Callable[[str, int], dict[str, Any]], *, folders: bool = False) -> None:
        self._client = client
        self._pages = pages
        self._folders = folders
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def list_objects_v2(self, **asked: Any) -> Any:
        if ("Delimiter" in asked) != self._folders:
            return self._client.list_objects_v2(**asked)
        self.asked += 1
        return self._pages(asked["Prefix"], self.asked)


def page(key: str, token: str) -> dict[str, Any]:
    contents = [{"Key": key, "Size": 1}] if key else []
    return {"Contents": contents, "IsTruncated": True, "NextContinuationToken": token}


@pytest.mark.parametrize(
    "pages",
    [
        lambda _, number: page("", f"{number // number}"),
        lambda _, number: page("", f"{number}"),
        lambda prefix, number: page(f"{prefix}2026/01/31/{number:09}/", "same"),
        lambda prefix, number: page(f"{prefix}2026/01/31/{number:09}/", f"{number % 4}"),
        lambda prefix, number: page(f"{prefix}2026/01/31/{number % 4}/", f"{number}"),
    ],
    ids=["a token again", "no keys", "a token again, new keys", "tokens in a ring", "keys again"],
)
def test_a_listing_that_does_not_end(
    s3: Any, trail: Trail, check: Check, monkeypatch: pytest.MonkeyPatch, pages: Callable[[str, int], dict[str, Any]]
) -> None:
    monkeypatch.setattr(buckets, "_MOST_IDLE_PAGES", 20)
    for folders in (False, True):
        client = Listing(s3, pages, folders=folders)
        with pytest.raises(CallFailed, match="the listing does not end"):
            check(trail.bucket.name, client=client, into=trail.chain.root.parent / str(folders))
        assert client.asked < 200


@pytest.mark.parametrize(
    "listed",
    [
        {"Size": 1},
        {"Key": "x", "Size": 1},
        {"Key": "../../../x", "Size": 1},
        {"Key": "{}a"},
        {"Key": "{}a", "Size": -1},
    ],
)
def test_an_object_that_is_none_of_those_asked_for(s3: Any, trail: Trail, check: Check, listed: dict[str, Any]) -> None:
    def pages(prefix: str, _: int) -> dict[str, Any]:
        return {"Contents": [listed | ({"Key": listed["Key"].format(prefix)} if "Key" in listed else {})]}

    with pytest.raises(CallFailed, match="is no key below it, or has no size"):
        check(trail.bucket.name, client=Listing(s3, pages))


@pytest.mark.parametrize(
    "folder", [{}, {"Prefix": ""}, {"Prefix": "x/"}, {"Prefix": "{}"}, {"Prefix": "{}a/b/"}, {"Prefix": "{}a"}]
)
def test_a_folder_that_is_none_of_those_asked_for(s3: Any, trail: Trail, check: Check, folder: dict[str, str]) -> None:
    def pages(prefix: str, _: int) -> dict[str, Any]:
        return {"CommonPrefixes": [{name: text.format(prefix) for name, text in folder.items()}]}

    with pytest.raises(CallFailed, match="is no folder in it"):
        check(f"{trail.bucket.name}/AWSLogs", client=Listing(s3, pages, folders=True))
