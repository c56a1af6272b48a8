"""The Merkle log in the store: what is appended, what is read from it, what goes to a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import StorageError
from skytrail.identity.secrets import sealer_of
from skytrail.services.cloudtrail.delivery.entries import Entry
from skytrail.services.cloudtrail.integrity import log_keys, merkle
from skytrail.services.engines import Engines
from skytrail.storage.store import Store, Transaction
from skytrail.verify import notes
from skytrail.verify.merkle import check_consistency, check_inclusion, leaf_hash
from skytrail.work.clock import Clock
from tests.verify.merkle_log import Log

ACCOUNT, REGION = "111122223333", "eu-west-1"


class Keeper:
    """A store with logs in it, and no more of a server than they need."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runner = asyncio.Runner()
        self.position = 0
        self.open()

    def open(self) -> None:
        self.store = Store(self.path / "skytrail.db", durability="os", rooms={"cloudtrail": (merkle.SCHEMA,)})
        part: Any = SimpleNamespace(store=self.store, sealer=sealer_of(self.path), clock=Clock())
        self.engines = cast(Engines, part)

    def restart(self) -> None:
        self.store.close()
        self.open()

    def close(self) -> None:
        self.store.close()
        self.runner.close()

    def submit(self, command: Callable[[Transaction], Any]) -> None:
        async def run() -> None:
            await self.store.submit(command)

        self.runner.run(run())

    def entries(
        self, leaves: Sequence[bytes], account: str = ACCOUNT, region: str = REGION, gap: int = 1
    ) -> list[Entry]:
        found = []
        for leaf in leaves:
            self.position += gap
            found.append(Entry(self.position, leaf, {}, account, region, "Management"))
        return found

    def append(self, entries: Sequence[Entry]) -> None:
        self.submit(lambda tx: merkle.append(tx, entries))

    def log(self, account: str = ACCOUNT, region: str = REGION) -> merkle.Log:
        log = merkle.find(self.store.read, account, region)
        assert log is not None
        return log

    def root(self, size: int | None = None, account: str = ACCOUNT, region: str = REGION) -> bytes:
        return merkle.tree(self.store.read, self.log(account, region), size).root()

    def upload(self, since: int = 0, account: str = ACCOUNT, region: str = REGION) -> tuple[int, dict[str, bytes]]:
        async def files() -> tuple[int, dict[str, bytes]]:
            upload = await merkle.upload(self.engines, account, region, since)
            return (0, {}) if upload is None else (upload.size, dict(upload.files()))

        return self.runner.run(files())


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    keeper = Keeper(tmp_path)
    yield keeper
    keeper.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    """For many examples: each takes an account of its own."""
    keeper = Keeper(tmp_path_factory.mktemp("merkle"))
    yield keeper
    keeper.close()


def numbered(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(count)]


# Appending


@settings(max_examples=30)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_batches_of_any_size_make_the_tree_that_all_at_once_makes(shared: Keeper, batches: list[int]) -> None:
    leaves = numbered(sum(batches))
    account = f"{shared.position:012}"
    at = 0
    for size in batches:
        shared.append(shared.entries(leaves[at : at + size], account))
        at += size
        assert shared.root(account=account) == Log(leaves[:at]).root()
    log = shared.log(account)
    assert (log.size, log.last) == (len(leaves), shared.position)
    for size in {1, 255, 256, 257, 512, len(leaves)}:
        if size <= len(leaves):
            assert shared.root(size, account) == Log(leaves[:size]).root()


def test_each_account_and_region_has_a_log_of_its_own(keeper: Keeper) -> None:
    places = [(ACCOUNT, REGION), (ACCOUNT, "us-east-1"), ("444455556666", REGION), ("", "any thing + more")]
    batch = [
        entry
        for leaf in numbered(40)
        for place in places
        for entry in keeper.entries([leaf + place[1].encode()], *place)
    ]
    keeper.append(batch)
    assert [(log.account, log.region, log.size) for log in merkle.every(keeper.store.read)] == [
        (*place, 40) for place in sorted(places)
    ]
    for place in places:
        assert keeper.root(None, *place) == Log([leaf + place[1].encode() for leaf in numbered(40)]).root()


def test_a_record_is_appended_once(keeper: Keeper) -> None:
    entries = keeper.entries(numbered(300))
    keeper.append(entries[:200])
    keeper.append(entries[100:])
    keeper.append(entries)
    assert (keeper.log().size, keeper.root()) == (300, Log(numbered(300)).root())


def test_nothing_of_a_failed_batch_stays(keeper: Keeper) -> None:
    keeper.append(keeper.entries(numbered(250)))

    def fail(tx: Transaction) -> None:
        merkle.append(tx, keeper.entries(numbered(20)))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        keeper.submit(fail)
    assert (keeper.log().size, keeper.root()) == (250, Log(numbered(250)).root())


def test_a_log_goes_on_after_a_restart(keeper: Keeper) -> None:
    leaves = numbered(600)
    keeper.append(keeper.entries(leaves[:300]))
    before = keeper.upload()[1]["checkpoint"]
    keeper.restart()
    assert keeper.upload()[1]["checkpoint"] == before
    keeper.append(keeper.entries(leaves[300:]))
    assert keeper.root() == Log(leaves).root()


def test_three_levels_of_tiles(keeper: Keeper) -> None:
    leaves = [b"%d" % number for number in range(256 * 256 + 257)]
    for at in range(0, len(leaves), 5000):
        keeper.append(keeper.entries(leaves[at : at + 5000]))
    tree, root = merkle.tree(keeper.store.read, keeper.log()), keeper.root()
    for number in (0, 255, 256, 65_535, 65_536, len(leaves) - 1):
        check_inclusion(number, len(leaves), leaf_hash(leaves[number]), tree.inclusion(number), root)
    for size in (1, 256, 65_535, 65_536, 65_537, 65_792):
        check_consistency(size, keeper.root(size), len(leaves), root, tree.consistency(size))


# Where a record is


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=40), st.integers(1, 30))
def test_a_position_leads_to_its_leaf(shared: Keeper, gaps: list[int], batch: int) -> None:
    account = f"{shared.position:012}"
    entries = [entry for gap in gaps * 9 for entry in shared.entries([b"x"], account, gap=gap)]
    for at in range(0, len(entries), batch):
        shared.append(entries[at : at + batch])
    log, reader = shared.log(account), shared.store.read
    assert [merkle.leaf(reader, log, entry.position) for entry in entries] == list(range(len(entries)))
    others = {entry.position + 1 for entry in entries} - {entry.position for entry in entries}
    assert {merkle.leaf(reader, log, position) for position in others} <= {None}
    assert merkle.leaf(reader, log, entries[0].position - 1) is None


# What goes to a bucket


def test_a_bucket_gets_tiles_and_checkpoints(keeper: Keeper) -> None:
    keeper.append(keeper.entries(numbered(300)))
    size, files = keeper.upload()
    checkpoint = notes.parse_checkpoint(files["checkpoint"])
    assert size == checkpoint.size == 300
    assert list(files) == [
        "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "checkpoints/00000000000000000300", "checkpoint",
    ]  # fmt: skip
    assert {len(data) for path, data in files.items() if path.startswith("tile")} == {8192, 44 * 32, 32}
    assert files["checkpoints/00000000000000000300"] == files["checkpoint"]
    assert (checkpoint.root, dict(Log(numbered(300)).files())["tile/1/000.p/1"]) == (
        Log(numbered(300)).root(), files["tile/1/000.p/1"],
    )  # fmt: skip


@settings(max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_what_a_copy_lacks_makes_it_whole(shared: Keeper, steps: list[int]) -> None:
    account = f"{shared.position:012}"
    leaves = numbered(sum(steps))
    kept: dict[str, bytes] = {}
    since = 0
    for step in steps:
        shared.append(shared.entries(leaves[since : since + step], account))
        since, files = shared.upload(since, account)
        assert not kept.keys() & {path for path in files if path != "checkpoint"}
        kept.update(files)
        whole = {path: data for path, data in Log(leaves[:since]).files() if path.startswith("tile")}
        assert whole.items() <= kept.items()
        assert notes.parse_checkpoint(kept["checkpoint"]).root == Log(leaves[:since]).root()


def test_a_copy_that_has_all_gets_nothing(keeper: Keeper) -> None:
    assert keeper.upload() == (0, {})
    keeper.append(keeper.entries(numbered(10)))
    assert keeper.upload(10) == (10, {})
    assert keeper.upload(11)[1].keys() == keeper.upload(0)[1].keys()


def test_files_are_those_of_the_moment_of_asking(keeper: Keeper) -> None:
    keeper.append(keeper.entries(numbered(300)))
    upload = keeper.runner.run(merkle.upload(keeper.engines, ACCOUNT, REGION))
    assert upload is not None
    files = upload.files()
    first = next(files)
    keeper.append(keeper.entries(numbered(500)))
    assert (
        dict([first, *files]).items()
        >= {path: data for path, data in Log(numbered(300)).files() if path.startswith("tile")}.items()
    )


def test_a_log_that_was_cleared_gives_no_files(keeper: Keeper) -> None:
    keeper.append(keeper.entries(numbered(300)))
    upload = keeper.runner.run(merkle.upload(keeper.engines, ACCOUNT, REGION))
    assert upload is not None
    keeper.submit(Transaction.clear)
    with pytest.raises(StorageError, match="cleared"):
        list(upload.files())


# Keys


def signer(keeper: Keeper, account: str = ACCOUNT, region: str = REGION) -> log_keys.Signer:
    return keeper.runner.run(log_keys.signer(keeper.engines, account, region))


def test_a_region_has_one_key_and_each_log_a_name(keeper: Keeper) -> None:
    mine, other, elsewhere = signer(keeper), signer(keeper, "444455556666"), signer(keeper, region="us-east-1")
    assert mine.key.public == other.key.public != elsewhere.key.public
    assert mine.origin.endswith(f"/{ACCOUNT}/{REGION}")
    assert len({mine.origin, other.origin, elsewhere.origin}) == 3
    keeper.restart()
    assert signer(keeper).key == mine.key
    assert notes.parse_key(mine.key.vkey) == mine.key


def test_checkpoints_verify_with_the_key_of_their_log_only(keeper: Keeper) -> None:
    keeper.append(keeper.entries(numbered(3)))
    checkpoint = notes.parse_checkpoint(keeper.upload()[1]["checkpoint"])
    checkpoint.check([signer(keeper, "444455556666").key, signer(keeper).key])
    assert checkpoint.origin == signer(keeper).origin


def test_the_key_is_sealed(keeper: Keeper) -> None:
    secret = signer(keeper).private.private_bytes_raw()
    kept = keeper.store.read.get(log_keys.KEYS, "", REGION, "log")
    assert kept is not None
    assert secret not in kept.secret
    keeper.submit(lambda tx: tx.put(log_keys.KEYS, "", "us-west-2", "log", kept))
    with pytest.raises(StorageError):
        signer(keeper, region="us-west-2")


def test_a_reset_begins_another_log_under_another_name(keeper: Keeper) -> None:
    keeper.append(keeper.entries(numbered(300)))
    before = signer(keeper).origin
    keeper.submit(Transaction.clear)
    assert merkle.every(keeper.store.read) == []
    keeper.append(keeper.entries(numbered(5)))
    assert keeper.root() == Log(numbered(5)).root()
    assert signer(keeper).origin != before


@pytest.mark.parametrize("place", [(ACCOUNT, REGION), ("", ""), ("a/b", "c+d e%\n"), ("ü", "..")])
def test_a_name_leads_back_to_its_account_and_region(keeper: Keeper, place: tuple[str, str]) -> None:
    origin = signer(keeper, *place).origin
    assert notes.parse_checkpoint(signer(keeper, *place).checkpoint(0, bytes(32))).origin == origin
    assert log_keys.place(keeper.store.read, origin) == place
    assert log_keys.place(keeper.store.read, "x" + origin) is None
    assert log_keys.place(keeper.store.read, origin + "/more") is None
