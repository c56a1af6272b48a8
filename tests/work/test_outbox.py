"""The outbox: what was posted is delivered at least once, in its order, at its time, also after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from skytrail.storage.store import Store, Transaction
from skytrail.work import outbox
from skytrail.work.clock import Clock
from skytrail.work.outbox import Outbox, Parcel

NOON = 1_777_896_000.0


class House:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(NOON)
        self.open()

    def open(self) -> None:
        self.store = Store(self.path / "skytrail.db", durability="os", rooms={"outbox": outbox.SCHEMA})
        self.outbox = Outbox(self.store, self.clock)

    async def crash(self) -> None:
        """What is under way is cut; the same store is opened anew."""
        await self.outbox.stop()
        self.store.close()
        self.open()

    async def post(self, *bodies: str, lane: str = "mail", order: str = "", wait: float = 0.0) -> None:
        def write(tx: Transaction) -> None:
            for body in bodies:
                self.outbox.post(tx, lane, body.encode(), order=order, wait=wait)

        await self.store.submit(write)


class Receiver:
    """Notes what it is delivered, and fails as often as it is told for a body."""

    def __init__(self, house: House, failures: dict[str, int] | None = None, delays: tuple[float, ...] = ()) -> None:
        self.house = house
        self.failures = failures or {}
        self.delays = delays
        self.got: list[tuple[str, float]] = []
        self.given_up: list[tuple[str, int, str]] = []

    async def deliver(self, parcel: Parcel) -> None:
        body = parcel.body.decode()
        self.got.append((body, self.house.clock.time() - NOON))
        await asyncio.sleep(0)
        if self.failures.get(body, 0) > 0:
            self.failures[body] -= 1
            raise OSError("the door is shut")

    def delay(self, parcel: Parcel, error: Exception) -> float | None:
        assert isinstance(error, OSError)
        return self.delays[parcel.attempts - 1] if parcel.attempts <= len(self.delays) else None

    async def give_up(self, parcel: Parcel, error: Exception) -> None:
        self.given_up.append((parcel.body.decode(), parcel.attempts, str(error)))

    def listen(self, *, concurrency: int = 32) -> None:
        self.house.outbox.lane("mail", self.deliver, self.delay, self.give_up, concurrency=concurrency)
        self.house.outbox.start()

    @property
    def bodies(self) -> list[str]:
        return [body for body, _ in self.got]


def with_house(path: Path, story: Callable[[House], Awaitable[None]]) -> None:
    async def tell() -> None:
        house = House(path)
        try:
            await story(house)
        finally:
            await house.outbox.stop()
            house.store.close()

    asyncio.run(tell())


def test_a_parcel_is_delivered_once_it_is_on_disk_and_removed(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        receiver = Receiver(house)
        receiver.listen()
        await house.post("one", "two")
        await house.outbox.settle()
        assert receiver.bodies == ["one", "two"]
        assert house.outbox.pending("mail") == 0
        await house.outbox.settle()
        assert receiver.bodies == ["one", "two"]

    with_house(tmp_path, story)


def test_what_is_undone_is_not_delivered(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        receiver = Receiver(house)
        receiver.listen()

        def fail(tx: Transaction) -> None:
            house.outbox.post(tx, "mail", b"never")
            raise RuntimeError("undone")

        with pytest.raises(RuntimeError):
            await house.store.submit(fail)
        await house.outbox.settle()
        assert receiver.got == []

    with_house(tmp_path, story)


def test_a_failure_waits_as_its_lane_says_and_is_given_up_at_last(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        receiver = Receiver(house, {"bad": 9, "slow": 1}, (10.0, 60.0))
        receiver.listen()
        await house.post("bad", "slow", "good")
        await house.clock.advance(9)
        assert receiver.got == [("bad", 0), ("slow", 0), ("good", 0)]
        await house.clock.advance(1)
        assert receiver.got[3:] == [("bad", 10), ("slow", 10)]
        await house.clock.advance(1000)
        assert receiver.got[5:] == [("bad", 70)]
        assert receiver.given_up == [("bad", 3, "the door is shut")]
        assert house.outbox.pending("mail") == 0

    with_house(tmp_path, story)


def test_parcels_of_one_order_wait_for_the_first_of_them(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        receiver = Receiver(house, {"a1": 1}, (30.0,))
        receiver.listen()
        await house.post("a1", "a2", "a3", order="a")
        await house.post("b1", "b2", order="b")
        await house.post("free")
        await house.outbox.settle()
        assert sorted(receiver.bodies) == ["a1", "b1", "b2", "free"]
        await house.clock.advance(30)
        assert receiver.bodies[4:] == ["a1", "a2", "a3"]

    with_house(tmp_path, story)


def test_a_parcel_may_be_posted_for_later(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        receiver = Receiver(house)
        receiver.listen()
        await house.post("later", wait=5)
        await house.clock.advance(4.9)
        assert receiver.got == []
        await house.clock.advance(0.2)
        assert [body for body, _ in receiver.got] == ["later"]

    with_house(tmp_path, story)


def test_what_was_under_way_is_delivered_again_after_a_crash(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        begun = asyncio.Event()

        async def hang(_: Parcel) -> None:
            begun.set()
            await asyncio.Event().wait()

        house.outbox.lane("mail", hang, lambda *_: None)
        house.outbox.start()
        await house.post("one")
        await house.post("two", order="x")
        await begun.wait()
        await house.crash()
        receiver = Receiver(house)
        receiver.listen()
        await house.outbox.settle()
        assert receiver.bodies == ["one", "two"]

    with_house(tmp_path, story)


def test_many_are_under_way_at_a_time_but_not_more_than_the_lane_says(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        now = most = 0
        done: list[bytes] = []

        async def deliver(parcel: Parcel) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            done.append(parcel.body)

        house.outbox.lane("mail", deliver, lambda *_: None, concurrency=8)
        house.outbox.start()
        await house.post(*(str(number) for number in range(300)))
        await house.outbox.settle()
        assert sorted(int(body) for body in done) == list(range(300))
        assert 1 < most <= 8

    with_house(tmp_path, story)


def test_a_parcel_that_cannot_be_given_up_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(house: House) -> None:
        tries = 0

        async def give_up(_: Parcel, __: Exception) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise OSError("the dead-letter queue is gone")

        async def deliver(_: Parcel) -> None:
            raise OSError

        house.outbox.lane("mail", deliver, lambda *_: None, give_up)
        house.outbox.start()
        await house.post("one")
        await house.outbox.settle()
        assert (house.outbox.pending("mail"), tries) == (1, 1)
        await house.clock.advance(300)
        assert (house.outbox.pending("mail"), tries) == (0, 2)

    with_house(tmp_path, story)
    assert "could not be given up" in caplog.text


def test_after_a_reset_nothing_of_before_is_delivered(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        begun, cut = asyncio.Event(), asyncio.Event()
        got: list[bytes] = []

        async def deliver(parcel: Parcel) -> None:
            got.append(parcel.body)
            if parcel.body == b"old":
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cut.set()

        house.outbox.lane("mail", deliver, lambda *_: 1.0)
        house.outbox.start()
        await house.post("old")
        await house.post("later", wait=5)
        await begun.wait()
        await house.outbox.stop()
        assert cut.is_set()
        await house.store.submit(Transaction.clear)
        house.outbox.resume()
        await house.post("new")
        await house.clock.advance(60)
        assert got == [b"old", b"new"]

    with_house(tmp_path, story)
