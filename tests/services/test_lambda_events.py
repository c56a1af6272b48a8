"""Asynchronous invocations: retries on the clock, destinations, dead letters; what outlives the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from skytrail.testing import DrivenClock, Server

from .lambda_house import ACCOUNT, REGION, Functions, client, until

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"

#: Writes down each event that it gets, and fails where the event says so.
NOTING = {
    "m.py": """
def handler(event, context):
    with open(event["file"], "a") as file:
        file.write(context.aws_request_id + "\\n")
    if event.get("fail"):
        raise ValueError("failed")
    return {"done": event["fail"] if "fail" in event else True}
"""
}


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with Server() as server:
        made = Functions(server)
        DrivenClock(server.endpoint).freeze()
        yield made


def queue(server: Server, name: str) -> str:
    client(server, "sqs").create_queue(QueueName=name)
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def received(server: Server, name: str) -> list[dict[str, Any]]:
    url = f"{server.endpoint}/{ACCOUNT}/{name}"
    found: list[dict[str, Any]] = (
        client(server, "sqs")
        .receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        .get("Messages", [])
    )
    return found


def tries(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def test_an_event(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "tries"
    functions.create("async", NOTING)
    functions.api.put_function_event_invoke_config(
        FunctionName="async", DestinationConfig={"OnSuccess": {"Destination": queue(functions.server, "done")}}
    )
    request_id = functions.event("async", {"file": str(file)})
    until(lambda: tries(file))
    clock.advance(0)
    assert tries(file) == [request_id]
    (message,) = received(functions.server, "done")
    record = json.loads(message["Body"])
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{ARN}:async:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"file": str(file)},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"done": True},
    }


def test_retries(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "tries"
    functions.create("failing", NOTING, DeadLetterConfig={"TargetArn": queue(functions.server, "dead")}, Publish=True)
    functions.api.create_alias(FunctionName="failing", Name="live", FunctionVersion="1")
    functions.api.put_function_event_invoke_config(
        FunctionName="failing",
        Qualifier="live",
        DestinationConfig={"OnFailure": {"Destination": queue(functions.server, "failed")}},
    )
    event = {"file": str(file), "fail": True}
    request_id = functions.event("failing", event, Qualifier="live")
    clock.advance(0)
    assert len(tries(file)) == 1
    clock.advance(59)
    assert len(tries(file)) == 1
    clock.advance(1)
    assert len(tries(file)) == 2
    clock.advance(119)
    assert len(tries(file)) == 2
    assert received(functions.server, "failed") == []
    clock.advance(1)
    assert tries(file) == [request_id] * 3
    (message,) = received(functions.server, "failed")
    record = json.loads(message["Body"])
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"{ARN}:failing:live",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert record["requestPayload"] == event
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "1", "functionError": "Unhandled"}
    assert record["responsePayload"]["errorType"] == "ValueError"
    (dead,) = received(functions.server, "dead")
    assert json.loads(dead["Body"]) == event
    assert {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()} == {
        "RequestID": request_id, "ErrorCode": "200", "ErrorMessage": "failed"
    }  # fmt: skip
    clock.advance(3600)
    assert len(tries(file)) == 3


def test_fewer_retries(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "tries"
    functions.create("once", NOTING)
    functions.api.put_function_event_invoke_config(FunctionName="once", MaximumRetryAttempts=0)
    functions.event("once", {"file": str(file), "fail": True})
    clock.advance(3600)
    assert len(tries(file)) == 1


def test_an_event_that_is_too_old(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "tries"
    functions.create("aging", NOTING)
    functions.api.put_function_event_invoke_config(
        FunctionName="aging",
        MaximumEventAgeInSeconds=100,
        DestinationConfig={"OnFailure": {"Destination": queue(functions.server, "aged")}},
    )
    functions.event("aging", {"file": str(file), "fail": True})
    clock.advance(300)
    assert len(tries(file)) == 2, "at once and after a minute; after three it is too old"
    (message,) = received(functions.server, "aged")
    context = json.loads(message["Body"])["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("EventAgeExceeded", 2)
    assert "responsePayload" not in json.loads(message["Body"])


def test_a_function_that_may_not_run(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "tries"
    functions.create("stopped", NOTING)
    functions.api.put_function_concurrency(FunctionName="stopped", ReservedConcurrentExecutions=0)
    functions.api.put_function_event_invoke_config(
        FunctionName="stopped", DestinationConfig={"OnFailure": {"Destination": queue(functions.server, "untried")}}
    )
    functions.event("stopped", {"file": str(file)})
    clock.advance(0)
    assert tries(file) == []
    (message,) = received(functions.server, "untried")
    assert json.loads(message["Body"])["requestContext"]["approximateInvokeCount"] == 0


def test_one_function_tells_another(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "told"
    noting = {"m.py": f"handler = lambda event, context: open({str(file)!r}, 'w').write(str(event['requestPayload']))"}
    functions.create("told", noting)
    functions.create("telling", {"m.py": "handler = lambda event, context: 1"})
    functions.api.put_function_event_invoke_config(
        FunctionName="telling", DestinationConfig={"OnSuccess": {"Destination": f"{ARN}:told"}}
    )
    functions.event("telling", {"a": 1})
    clock.advance(0)
    until(file.exists)
    assert file.read_text() == "{'a': 1}"


def test_invoke_async(functions: Functions, tmp_path: Path) -> None:
    functions.create("older", NOTING)
    file = tmp_path / "tries"
    answer = functions.api.invoke_async(FunctionName="older", InvokeArgs=json.dumps({"file": str(file)}))
    assert answer["Status"] == 202
    until(lambda: tries(file))


def test_an_event_of_a_function_that_is_gone(functions: Functions, tmp_path: Path) -> None:
    clock, file = DrivenClock(functions.server.endpoint), tmp_path / "tries"
    functions.create("leaving", NOTING)
    functions.event("leaving", {"file": str(file), "fail": True})
    clock.advance(0)
    functions.api.delete_function(FunctionName="leaving")
    clock.advance(600)
    assert len(tries(file)) == 1


def test_what_outlives_the_server(tmp_path: Path) -> None:
    """A function and its versions, a mapping, an event that was being handled, and one that waits for its retry."""
    server, file = Server(data=tmp_path / "data").start(), tmp_path / "tries"
    slow = {"m.py": NOTING["m.py"].replace("    if", "    __import__('time').sleep(event.get('sleep', 0))\n    if", 1)}
    try:
        functions = Functions(server)
        functions.create("kept", slow, Timeout=60, Environment={"Variables": {"AA": "b"}}, Publish=True)
        functions.api.create_alias(FunctionName="kept", Name="live", FunctionVersion="1")
        shown = functions.api.get_function(FunctionName="kept:live")["Configuration"]
        taking = {"m.py": f"handler = lambda event, context: open({str(tmp_path / 'taken')!r}, 'a').write('x ')"}
        functions.create("taking", taking)
        functions.api.create_event_source_mapping(EventSourceArn=queue(server, "taken"), FunctionName="taking")
        cut = functions.event("kept", {"file": str(file), "sleep": 30})
        until(lambda: tries(file))
        waiting = functions.event("kept", {"file": str(tmp_path / "waiting"), "fail": True}, Qualifier="live")
        until(lambda: tries(tmp_path / "waiting"))
        until(lambda: _waits(server))
        server.kill()
        file.unlink()
        server.start()
        functions = Functions(server)
        assert functions.api.get_function(FunctionName="kept:live")["Configuration"] == shown
        until(lambda: tries(file))
        assert tries(file) == [cut]
        client(server, "sqs").send_message(QueueUrl=f"{server.endpoint}/{ACCOUNT}/taken", MessageBody="m")
        until(lambda: tries(tmp_path / "taken"))
        clock = DrivenClock(server.endpoint)
        clock.set(clock.now() + timedelta(seconds=70))  # to advance would wait for the one that sleeps
        until(lambda: len(tries(tmp_path / "waiting")) == 2)
        assert set(tries(tmp_path / "waiting")) == {waiting}
        assert functions.invoke("kept:live", {"file": str(tmp_path / "third")})["Result"] == {"done": True}
    finally:
        server.kill()


def _waits(server: Server) -> bool:
    """Whether the event has been posted anew, to be tried later."""
    import sqlite3

    with sqlite3.connect(f"file:{server.data}/skytrail.db?mode=ro", uri=True) as connection:
        (number,) = connection.execute(
            "SELECT count(*) FROM outbox WHERE lane = 'lambda:event' AND due > posted"
        ).fetchone()
    connection.close()
    return bool(number == 1)
