"""S3's listings: order, prefixes, delimiters, pages, versions; against a model that looks at all keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.services.s3 import buckets
from skytrail.storage.store import Transaction

from .s3_buckets_house import Buckets

#: Few letters, so that prefixes and delimiters meet; with bytes of all lengths of UTF-8.
KEYS = st.lists(st.text("ab/é😀 +~", min_size=1, max_size=6), max_size=30, unique=True)
PREFIXES = st.text("ab/é", max_size=3)
DELIMITERS = st.sampled_from(["", "/", "b", "ab", "é"])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Buckets]:
    house = Buckets(tmp_path)
    yield house
    house.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    house = Buckets(tmp_path_factory.mktemp("s3"))
    house.client().create_bucket(Bucket="one")
    yield house
    house.close()


def fill(house: Buckets, keys: Sequence[str], *, markers: Sequence[str] = ()) -> None:
    """Rows of objects, without their bodies, in the place of all that the bucket holds."""
    bucket = buckets.existing(house.store.read, "one")
    rows = [
        (
            bucket.id,
            key.encode(),
            1,
            "null",
            1,
            int(key in markers),
            3,
            "e",
            1000,
            "STANDARD",
            bucket.account,
            "",
            "",
            b"{}",
        )
        for key in keys
    ]

    async def write() -> None:
        def insert(tx: Transaction) -> None:
            tx.connection.execute("DELETE FROM s3_objects")
            tx.connection.executemany(f"INSERT INTO s3_objects VALUES ({', '.join('?' * 14)})", rows)

        await house.store.submit(insert)

    house.runner.run(write())


def expected(keys: Sequence[str], prefix: str, delimiter: str, after: bytes = b"") -> list[str]:
    """What a listing shows, in the order of the bytes: keys, and prefixes in the place of the keys that they fold."""
    found: dict[bytes, None] = {}
    start, by = prefix.encode(), delimiter.encode()
    for key in sorted(each.encode() for each in keys):
        if key.startswith(start) and key > after:
            cut = key.find(by, len(start)) if by else -1
            found[key if cut < 0 else key[: cut + len(by)]] = None
    return [key.decode() for key in found]


def shown(page: dict[str, Any]) -> list[str]:
    found = [entry["Key"] for entry in page.get("Contents", [])]
    found += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    return sorted(found, key=str.encode)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=KEYS, prefix=PREFIXES, delimiter=DELIMITERS, size=st.integers(1, 5))
def test_pages_make_the_whole(filled: Buckets, keys: list[str], prefix: str, delimiter: str, size: int) -> None:
    fill(filled, keys)
    client = filled.client()
    asked = {"Bucket": "one", "Prefix": prefix, **({"Delimiter": delimiter} if delimiter else {})}
    wanted = expected(keys, prefix, delimiter)
    for operation in ("list_objects_v2", "list_objects"):
        pages = list(client.get_paginator(operation).paginate(**asked, PaginationConfig={"PageSize": size}))
        found = [name for page in pages for name in shown(page)]
        assert found == wanted
        assert all(len(shown(page)) == size for page in pages[:-1])
    versions = client.get_paginator("list_object_versions").paginate(**asked, PaginationConfig={"PageSize": size})
    found = []
    for page in versions:
        found += shown({"Contents": page.get("Versions", []), "CommonPrefixes": page.get("CommonPrefixes", [])})
    assert found == wanted


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=KEYS, prefix=PREFIXES, after=st.text("ab/é😀", min_size=1, max_size=4))
def test_what_comes_after_a_key(filled: Buckets, keys: list[str], prefix: str, after: str) -> None:
    fill(filled, keys)
    client = filled.client()
    wanted = expected(keys, prefix, "", after.encode())
    assert shown(client.list_objects_v2(Bucket="one", Prefix=prefix, StartAfter=after)) == wanted
    assert shown(client.list_objects(Bucket="one", Prefix=prefix, Marker=after)) == wanted


def test_after_a_common_prefix_comes_what_it_does_not_fold(filled: Buckets) -> None:
    fill(filled, ["a/1", "a/2", "b/1", "c"])
    client = filled.client()
    assert shown(client.list_objects(Bucket="one", Delimiter="/", Marker="a/")) == ["b/", "c"]
    assert shown(client.list_objects(Bucket="one", Delimiter="/", Marker="a/1")) == ["a/", "b/", "c"]
    assert shown(client.list_objects(Bucket="one", Marker="a/")) == ["a/1", "a/2", "b/1", "c"]


def test_the_members_of_a_listing(house: Buckets) -> None:
    client = house.client()
    client.create_bucket(Bucket="one")
    client.put_object(Bucket="one", Key="a b/ü+", Body=b"hi")
    page = client.list_objects_v2(Bucket="one", Prefix="a b/", StartAfter="a", FetchOwner=True, MaxKeys=2000)
    (entry,) = page.pop("Contents")
    assert entry["Key"] == "a b/ü+"
    assert (entry["ETag"], entry["Size"]) == ('"49f68a5c8493ec2c0bf489821c21fc3b"', 2)
    assert entry["Owner"]["ID"] == client.list_buckets()["Owner"]["ID"]
    del page["ResponseMetadata"]
    assert page == {
        "Name": "one", "Prefix": "a b/", "StartAfter": "a", "MaxKeys": 1000, "KeyCount": 1,
        "IsTruncated": False, "EncodingType": "url",
    }  # fmt: skip
    _, _, body = house.raw(
        "GET", "http://s3.localhost:4566/one?list-type=2&encoding-type=url&prefix=a%20b", house.signed()
    )
    assert b"<Key>a+b/%C3%BC%2B</Key>" in body
    assert b"<Prefix>a+b</Prefix>" in body
    empty = client.list_objects_v2(Bucket="one", MaxKeys=0)
    assert (empty["KeyCount"], empty["IsTruncated"]) == (0, False)


def test_tokens_belong_to_their_listing(filled: Buckets) -> None:
    long = ["é" * 511 + letter for letter in "ab"]
    fill(filled, long)
    client = filled.client()
    page = client.list_objects_v2(Bucket="one", MaxKeys=1)
    token = page["NextContinuationToken"]
    rest = client.list_objects_v2(Bucket="one", MaxKeys=1, ContinuationToken=token)
    assert (shown(rest), rest["ContinuationToken"]) == ([long[1]], token)
    filled.client().create_bucket(Bucket="two")
    for bucket, more in (("one", {"Prefix": "a"}), ("one", {"Delimiter": "/"}), ("two", {})):
        with pytest.raises(ClientError, match="continuation token"):
            client.list_objects_v2(Bucket=bucket, ContinuationToken=token, **more)


def test_versions_and_delete_markers(house: Buckets) -> None:
    client = house.client()
    client.create_bucket(Bucket="one")
    client.put_object(Bucket="one", Key="a", Body=b"0")
    client.put_bucket_versioning(Bucket="one", VersioningConfiguration={"Status": "Enabled"})
    made = ["null"]
    for number in range(3):
        made.insert(0, client.put_object(Bucket="one", Key="a", Body=b"%d" % number)["VersionId"])
    marker = client.delete_object(Bucket="one", Key="a")["VersionId"]
    client.put_object(Bucket="one", Key="b/1")
    everything = client.list_object_versions(Bucket="one")
    assert [(each["Key"], each["VersionId"], each["IsLatest"]) for each in everything["Versions"][:4]] == [
        ("a", version, False) for version in made
    ]
    assert [(each["VersionId"], each["IsLatest"]) for each in everything["DeleteMarkers"]] == [(marker, True)]
    assert client.list_objects_v2(Bucket="one")["KeyCount"] == 1
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket="one", Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    walked = [
        [each["VersionId"] for each in [*page.get("DeleteMarkers", []), *page.get("Versions", [])]]
        + [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        for page in pages
    ]
    assert walked == [[marker, made[0]], made[1:3], [made[3], "b/"]]
    first = client.list_object_versions(Bucket="one", MaxKeys=2)
    assert (first["NextKeyMarker"], first["NextVersionIdMarker"]) == ("a", made[0])
    after = client.list_object_versions(Bucket="one", KeyMarker="a")
    assert [each["Key"] for each in after["Versions"]] == ["b/1"]
    # Whoever deletes what a page shows before asking for the next one misses nothing.
    for version in (marker, made[0]):
        client.delete_object(Bucket="one", Key="a", VersionId=version)
    rest = client.list_object_versions(Bucket="one", KeyMarker="a", VersionIdMarker=made[0])
    assert [each["VersionId"] for each in rest["Versions"][:3]] == made[1:]


def test_a_large_bucket_is_listed_quickly(filled: Buckets) -> None:
    """A page costs what it shows, not what it folds, or what stands before it: told in steps of SQLite's machine."""
    fill(filled, [f"{folder:03}/{number:04}" for folder in range(100) for number in range(500)])
    client, connection = filled.client(), filled.store.read.connection
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 100

    def asked(**given: Any) -> tuple[int, dict[str, Any]]:
        nonlocal steps
        steps = 0
        connection.set_progress_handler(count, 100)
        page = client.list_objects_v2(Bucket="one", **given)
        connection.set_progress_handler(None, 0)
        return steps, page

    full, _ = asked()
    folded, page = asked(Delimiter="/")
    assert shown(page) == [f"{folder:03}/" for folder in range(100)]
    assert folded < full
    last, page = asked(StartAfter="099/0000")
    assert page["KeyCount"] == 499
    assert last < full
