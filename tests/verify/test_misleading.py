"""What looks like another tampering than the one that it is."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from .conftest import Check
from .delivered import HOUR, START, Chain, pack
from .test_verify import told

MINUTE = timedelta(minutes=1)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Five hours, with the newest digest's signature beside it."""
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1")
    chain.deliver(5)
    chain.keep_newest_signature()
    return chain


def log_of_same_records(chain: Chain, log: str, at: datetime) -> dict[str, object]:
    """Of another trail: its file has another name, and the same content."""
    named = chain.deliver_log(at)
    chain.write(str(named["s3Object"]), chain.path(log).read_bytes())
    return named


# Digests whose content states another place


def test_a_digest_whose_place_was_changed_in_it_did_not_move(chain: Chain, check: Check) -> None:
    digest = chain.digests[2]
    document = chain.read_digest(digest)
    document["digestS3Object"] = digest.replace("31Z.json", "59Z.json")
    chain.write(digest, pack(json.dumps(document).encode()))
    assert told(check()) == [("digest-changed", digest)]
    assert told(check(keys=None)) == [("digest-changed", digest)]


def test_a_digest_whose_bucket_was_changed_in_it_did_not_move(chain: Chain, check: Check) -> None:
    digest = chain.digests[2]
    chain.path(digest + ".signature").write_text(chain.signatures[digest], "ascii")
    chain.write(digest, pack(json.dumps(chain.read_digest(digest) | {"digestS3Bucket": "other"}).encode()))
    assert told(check()) == [("digest-changed", digest)]


def test_the_newest_digest_whose_place_was_changed_in_it_did_not_move(chain: Chain, check: Check) -> None:
    newest = chain.digests[-1]
    document = chain.read_digest(newest)
    document["digestS3Object"] = newest.replace("31Z.json", "59Z.json")
    chain.write(newest, pack(json.dumps(document).encode()))
    assert told(check()) == [("digest-changed", newest)]


def test_digests_of_two_accounts_that_changed_places_are_not_changed_ones(chain: Chain, check: Check) -> None:
    other = Chain(chain.root, "444455556666", "us-east-1")
    other.deliver(5)
    one, another = chain.path(chain.digests[2]), other.path(other.digests[1])
    a, b = one.read_bytes(), another.read_bytes()
    one.write_bytes(b)
    another.write_bytes(a)
    assert told(check()) == [("digest-swapped", chain.digests[2]), ("digest-swapped", other.digests[1])]


# Trails that share a folder


def test_what_missing_first_digests_named_was_not_added(chain: Chain, check: Check) -> None:
    """However many are missing: another trail's digests cover the time, and do not name it."""
    second = Chain(chain.root, chain.account, chain.region, trail="second")
    second.deliver(5, most_logs=3)
    second.keep_newest_signature()
    for digest in second.digests[:3]:
        second.path(digest).unlink()
    assert told(check()) == [("digest-missing", second.digests[2])]
