"""After a reset nothing of before appears."""

from __future__ import annotations

import io
import json
import zipfile

from skytrail.testing import Server, Skytrail

ROLE = "arn:aws:iam::000000000000:role/any"
CODE = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    raise ValueError(event["said"])
"""


def code() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("main.py", CODE)
    return archive.getvalue()


def test_an_event_of_before_does_not_reach_the_new_function(skytrail: Skytrail, skytrail_server: Server) -> None:
    functions, sqs = skytrail.client("lambda"), skytrail.client("sqs")

    def make() -> None:
        sqs.create_queue(QueueName="failed")
        functions.create_function(
            FunctionName="f",
            Runtime="python3.11",
            Handler="main.handler",
            Role=ROLE,
            Code={"ZipFile": code()},
            DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:failed"},
        )

    make()
    functions.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"seconds": 30, "said": "before"}))
    skytrail.reset()
    make()
    functions.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"seconds": 0, "said": "after"}))
    skytrail.clock.advance(3600)
    url = sqs.get_queue_url(QueueName="failed")["QueueUrl"]
    dead = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    assert [json.loads(message["Body"])["said"] for message in dead] == ["after"]
