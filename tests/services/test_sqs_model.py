"""SQS against a small model: whatever is sent, received, deleted and left alone, in whatever order."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from skytrail.errors import ServiceError

from .sqs_house import Queues


@dataclass
class Sent:
    body: str
    group: str
    visible_at: float
    receives: int = 0
    flying: bool = False
    handles: list[str] = field(default_factory=list)


class Machine(RuleBasedStateMachine):
    """What a queue must do, told of a list of messages in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.sqs = Queues(Path(self.folder.name))
        self.messages: list[Sent] = []
        self.number = 0

    @initialize(fifo=st.booleans())
    def make(self, fifo: bool) -> None:
        self.fifo = fifo
        more = {"ContentBasedDeduplication": "true"} if fifo else {}
        self.url = self.sqs.queue("q.fifo" if fifo else "q", VisibilityTimeout="10", **more)

    def teardown(self) -> None:
        self.sqs.close()
        self.folder.cleanup()

    @property
    def now(self) -> float:
        return self.sqs.clock.time()

    @rule(group=st.sampled_from("abc"), delay=st.sampled_from([0, 0, 0, 3]))
    def send(self, group: str, delay: int) -> None:
        self.number += 1
        delay = 0 if self.fifo else delay
        more = {"MessageGroupId": group} if self.fifo else {"DelaySeconds": delay}
        self.sqs.send(self.url, str(self.number), **more)
        self.messages.append(Sent(str(self.number), group, self.now + delay))

    @rule(count=st.integers(1, 10), visibility=st.sampled_from([0, 2, 10]))
    def receive(self, count: int, visibility: int) -> None:
        received = self.sqs.receive(self.url, count, VisibilityTimeout=visibility)
        by_body = {sent.body: sent for sent in self.messages}
        got = [by_body[message["Body"]] for message in received]
        may = self._receivable()
        assert len({sent.body for sent in got}) == len(got)
        assert all(sent in may for sent in got)
        assert len(got) == min(count, len(may))
        if self.fifo:
            for group in "abc":
                of_group = [sent for sent in may if sent.group == group]
                taken = [sent for sent in got if sent.group == group]
                assert taken == of_group[: len(taken)]
        for message, sent in zip(received, got, strict=True):
            sent.receives += 1
            sent.visible_at, sent.flying = self.now + visibility, True
            sent.handles.append(message["ReceiptHandle"])
            assert message["Attributes"]["ApproximateReceiveCount"] == str(sent.receives)

    def _receivable(self) -> list[Sent]:
        if not self.fifo:
            return [sent for sent in self.messages if sent.visible_at <= self.now]
        locked = {sent.group for sent in self.messages if sent.visible_at > self.now}
        return [sent for sent in self.messages if sent.group not in locked]

    @rule(place=st.integers(0, 30), old=st.booleans())
    def delete(self, place: int, old: bool) -> None:
        known = [sent for sent in self.messages if sent.handles]
        if not known:
            return
        sent = known[place % len(known)]
        handle = sent.handles[0] if old else sent.handles[-1]
        stale = handle != sent.handles[-1]
        expired = self.fifo and (stale or sent.visible_at <= self.now)
        with pytest.raises(ServiceError, match="has expired") if expired else nullcontext():
            self.sqs("DeleteMessage", QueueUrl=self.url, ReceiptHandle=handle)
        if not stale and not expired:
            self.messages.remove(sent)

    @rule(place=st.integers(0, 30), seconds=st.sampled_from([0, 1, 20]))
    def change(self, place: int, seconds: int) -> None:
        known = [sent for sent in self.messages if sent.handles]
        if not known:
            return
        sent = known[place % len(known)]
        flying = sent.visible_at > self.now
        with nullcontext() if flying else pytest.raises(ServiceError, match="MessageNotInflight"):
            self.sqs(
                "ChangeMessageVisibility",
                QueueUrl=self.url,
                ReceiptHandle=sent.handles[-1],
                VisibilityTimeout=seconds,
            )
        if flying:
            sent.visible_at = self.now + seconds

    @rule(seconds=st.sampled_from([1, 2, 5, 11]))
    def wait(self, seconds: int) -> None:
        self.sqs.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.sqs.store.close()
        self.sqs.open()

    @invariant()
    def counted(self) -> None:
        if not hasattr(self, "url"):
            return
        hidden = [sent for sent in self.messages if sent.visible_at > self.now]
        flying = sum(bool(sent.receives) for sent in hidden)
        assert self.sqs.numbers(self.url) == (len(self.messages) - len(hidden), flying, len(hidden) - flying)


Machine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestQueues = Machine.TestCase
