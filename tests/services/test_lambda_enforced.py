"""Functions where permissions are enforced: who may call them, what their roles may do, where code comes from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from skytrail.testing import Server

from .lambda_house import ACCOUNT, REGION, ROLE, archive, session

THEIRS = "444455556666"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
ASKING = """
import boto3
def handler(event, context):
    try:
        return [boto3.client("sts").get_caller_identity()["Arn"], boto3.client("sqs").list_queues().get("QueueUrls")]
    except Exception as error:
        return str(error)
"""
Clients = Any


def allow(*actions: str, resource: str = "*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class House:
    def __init__(self, server: Server, account: str = ACCOUNT) -> None:
        self.server = server
        made = subprocess.run(
            [sys.executable, "-m", "skytrail", "keys", "create", "--data", str(server.data), "--account", account],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        found = re.search(r"(AKIA\w+)\s+secret access key\s+(\S+)", made)
        assert found is not None
        self.key = (found[1], found[2])
        iam = self.client("iam")
        for name, service in (("runs-functions", "lambda.amazonaws.com"), ("others", "ec2.amazonaws.com")):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))
        iam.create_user(UserName="ann")
        key = iam.create_access_key(UserName="ann")["AccessKey"]
        self.ann = (key["AccessKeyId"], key["SecretAccessKey"])

    def client(self, service: str, key: tuple[str, str] | None = None) -> Clients:
        access_key, secret_key = key or self.key
        return session().client(
            service,
            endpoint_url=self.server.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(retries={"total_max_attempts": 1}, proxies={}, read_timeout=60),
        )

    def grant(self, name: str, document: str) -> None:
        self.client("iam").put_user_policy(UserName="ann", PolicyName=name, PolicyDocument=document)


def given(name: str, **more: Any) -> dict[str, Any]:
    whole = {"FunctionName": name, "Runtime": "python3.11", "Handler": "m.handler", "Role": ROLE, "Timeout": 20}
    return {**whole, "Code": {"ZipFile": archive({"m.py": ASKING})}, **more}


def denied(call: Any, **asked: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(caught.value.response["Error"]["Message"])


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with Server(arguments=["--mode", "enforced"]) as server:
        house = House(server)
        house.client("lambda").create_function(**given("asking"))
        yield house


def test_a_function_acts_as_its_role(house: House) -> None:
    functions, iam = house.client("lambda"), house.client("iam")
    said = json.load(functions.invoke(FunctionName="asking")["Payload"])
    assert f"arn:aws:sts::{ACCOUNT}:assumed-role/runs-functions/asking is not authorized" in said
    iam.put_role_policy(RoleName="runs-functions", PolicyName="p", PolicyDocument=allow("sqs:*"))
    said = json.load(functions.invoke(FunctionName="asking")["Payload"])
    assert said[0] == f"arn:aws:sts::{ACCOUNT}:assumed-role/runs-functions/asking"
    house.client("sqs").create_queue(QueueName="told")
    functions.put_function_event_invoke_config(
        FunctionName="asking", DestinationConfig={"OnSuccess": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:told"}}
    )
    functions.invoke(FunctionName="asking", InvocationType="Event")
    url = f"{house.server.endpoint}/{ACCOUNT}/told"
    received = house.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert json.loads(received[0]["Body"])["requestContext"]["condition"] == "Success"


def test_roles_that_lambda_cannot_assume(house: House) -> None:
    functions = house.client("lambda")
    for role in (f"arn:aws:iam::{ACCOUNT}:role/none", f"arn:aws:iam::{ACCOUNT}:role/others"):
        with pytest.raises(functions.exceptions.InvalidParameterValueException) as caught:
            functions.create_function(**given("new", Role=role))
        message = "The role defined for the function cannot be assumed by Lambda."
        assert caught.value.response["Error"]["Message"] == message
    said = denied(functions.create_function, **given("new", Role="arn:aws:iam::111122223333:role/theirs"))
    assert said == "Cross-account pass role is not allowed."
    iam = house.client("iam")
    iam.create_role(RoleName="leaves", AssumeRolePolicyDocument=trust("lambda.amazonaws.com"))
    functions.create_function(**given("left", Role=f"arn:aws:iam::{ACCOUNT}:role/leaves"))
    iam.delete_role(RoleName="leaves")
    assert denied(functions.invoke, FunctionName="left") == message


def test_who_may_invoke(house: House) -> None:
    functions, anns = house.client("lambda"), house.client("lambda", house.ann)
    functions.create_function(**given("shared", Publish=True))
    said = denied(anns.invoke, FunctionName="shared")
    assert f"lambda:InvokeFunction on resource: {ARN}:shared because no" in said
    share = {"StatementId": "ann", "Action": "lambda:InvokeFunction", "Principal": f"arn:aws:iam::{ACCOUNT}:user/ann"}
    functions.add_permission(FunctionName="shared", Qualifier="1", **share)
    denied(anns.invoke, FunctionName="shared")
    assert anns.invoke(FunctionName="shared:1")["StatusCode"] == 200
    functions.add_permission(FunctionName="shared", **share)
    assert anns.invoke(FunctionName="shared")["StatusCode"] == 200
    denied(anns.get_function, FunctionName="shared")
    functions.remove_permission(FunctionName="shared", StatementId="ann")
    denied(anns.invoke, FunctionName="shared")
    house.grant("invoke", allow("lambda:InvokeFunction", resource=f"{ARN}:shared"))
    assert anns.invoke(FunctionName="shared")["StatusCode"] == 200
    said = denied(anns.invoke, FunctionName=f"arn:aws:lambda:{REGION}:111122223333:function:theirs")
    assert "arn:aws:lambda:" in said


def test_who_may_hand_out_a_role(house: House) -> None:
    anns = house.client("lambda", house.ann)
    house.grant("create", allow("lambda:CreateFunction", "lambda:TagResource"))
    assert "iam:PassRole" in denied(anns.create_function, **given("anns"))
    to = {"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}
    house.grant("pass", allow("iam:PassRole", resource=ROLE, **to))
    arn = anns.create_function(**given("anns"))["FunctionArn"]
    house.grant("create", allow("lambda:CreateFunction"))
    assert "lambda:TagResource" in denied(anns.create_function, **given("tagged", Tags={"a": "b"}))
    house.grant("create", allow("lambda:CreateFunction", "lambda:TagResource"))
    anns.create_function(**given("tagged", Tags={"a": "b"}))
    anns.tag_resource(Resource=arn, Tags={"a": "b"})
    said = denied(anns.tag_resource, Resource=arn, Tags={"skytrail:http": "http://192.0.2.1"})
    assert "lambda:UpdateFunctionCode" in said


def test_a_role_is_passed_in_the_account_of_the_function(house: House) -> None:
    functions, anns = house.client("lambda"), house.client("lambda", house.ann)
    theirs = House(house.server, THEIRS)
    role = f"arn:aws:iam::{THEIRS}:role/runs-functions"
    theirs.client("lambda").create_function(**given("open", Role=role))
    theirs.client("iam").create_role(RoleName="rules", AssumeRolePolicyDocument=trust("lambda.amazonaws.com"))
    share = {"StatementId": "s", "Action": "lambda:UpdateFunctionConfiguration", "Principal": ACCOUNT}
    theirs.client("lambda").add_permission(FunctionName="open", **share)
    house.grant("change", allow("lambda:UpdateFunctionConfiguration", "iam:PassRole"))
    arn = f"arn:aws:lambda:{REGION}:{THEIRS}:function:open"
    for caller in (functions, anns):
        assert caller.update_function_configuration(FunctionName=arn, Timeout=9)["Timeout"] == 9
        for passed in (f"arn:aws:iam::{THEIRS}:role/rules", ROLE):
            said = denied(caller.update_function_configuration, FunctionName=arn, Role=passed)
            assert f"iam:PassRole on resource: {passed} because no resource-based policy" in said
    assert theirs.client("lambda").get_function_configuration(FunctionName="open")["Role"] == role


def test_mappings_are_for_functions_of_their_own_account(house: House) -> None:
    functions, sqs = house.client("lambda"), house.client("sqs")
    house.client("iam").put_role_policy(RoleName="runs-functions", PolicyName="mapped", PolicyDocument=allow("sqs:*"))
    sqs.create_queue(QueueName="mapped")
    source = {"EventSourceArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:mapped", "Enabled": False}
    arn = f"arn:aws:lambda:{REGION}:{THEIRS}:function:open"
    wrong = pytest.raises(functions.exceptions.InvalidParameterValueException, match="of its own account")
    with wrong:
        functions.create_event_source_mapping(FunctionName=arn, **source)
    made = functions.create_event_source_mapping(FunctionName="asking", **source)["UUID"]
    with wrong:
        functions.update_event_source_mapping(UUID=made, FunctionName=arn)
    assert functions.get_event_source_mapping(UUID=made)["FunctionArn"] == f"{ARN}:asking"

    anns = house.client("lambda", house.ann)
    functions.create_function(**given("unmapped"))
    only: dict[str, Any] = {"Condition": {"StringEquals": {"lambda:FunctionArn": f"{ARN}:asking"}}}
    house.grant("map", allow("lambda:*EventSourceMapping", **only))
    anns.update_event_source_mapping(UUID=made, FunctionName="asking", BatchSize=2)
    denied(anns.update_event_source_mapping, UUID=made, FunctionName="unmapped")
    denied(anns.create_event_source_mapping, FunctionName="unmapped", **source)
    either: dict[str, Any] = {
        "Condition": {"StringEquals": {"lambda:FunctionArn": [f"{ARN}:asking", f"{ARN}:unmapped"]}}
    }
    house.grant("map", allow("lambda:*EventSourceMapping", **either))
    assert anns.update_event_source_mapping(UUID=made, FunctionName="unmapped")["FunctionArn"] == f"{ARN}:unmapped"
    house.grant("map", allow("lambda:*EventSourceMapping", **only))
    denied(anns.update_event_source_mapping, UUID=made, FunctionName="asking")
    house.client("iam").delete_user_policy(UserName="ann", PolicyName="map")


def test_an_http_address_is_no_way_to_this_machine(house: House) -> None:
    functions = house.client("lambda")
    for number, host in enumerate(("127.0.0.1", "localhost", "0.0.0.0", "169.254.169.254")):
        tags = {"skytrail:http": f"http://{host}:{house.server.port}/"}
        functions.create_function(**given(f"address-{number}", Tags=tags, Code={}))
        answer = functions.invoke(FunctionName=f"address-{number}")
        assert answer["FunctionError"] == "Unhandled"
        assert "this machine or a neighbour" in json.load(answer["Payload"])["errorMessage"]


def test_code_from_a_bucket(house: House) -> None:
    functions, s3 = house.client("lambda"), house.client("s3")
    s3.create_bucket(Bucket="codes-of-functions", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(
        Bucket="codes-of-functions", Key="a/ü.zip", Body=archive({"m.py": "handler = lambda event, context: 7"})
    )
    place = {"S3Bucket": "codes-of-functions", "S3Key": "a/ü.zip"}
    functions.create_function(**given("stored", Code=place))
    assert json.load(functions.invoke(FunctionName="stored")["Payload"]) == 7
    with pytest.raises(functions.exceptions.InvalidParameterValueException, match="S3 Error Code: NoSuchKey"):
        functions.update_function_code(FunctionName="stored", S3Bucket="codes-of-functions", S3Key="none")
    house.grant("create", allow("lambda:*"))
    house.grant("pass", allow("iam:PassRole"))
    said = denied(house.client("lambda", house.ann).create_function, **given("anns-stored", Code=place))
    assert said.startswith("Your access has been denied by S3")


def test_records(house: House) -> None:
    functions = house.client("lambda")
    secret = {"Environment": {"Variables": {"PASSWORD": "that no record shows"}}}
    functions.create_function(**given("recorded", **secret))
    functions.invoke(FunctionName="recorded")
    events = house.client("cloudtrail").lookup_events(MaxResults=50)["Events"]
    records = [json.loads(event["CloudTrailEvent"]) for event in events]
    (created,) = [
        record
        for record in records
        if record["eventName"].startswith("CreateFunction")
        and record["requestParameters"]["functionName"] == "recorded"
    ]
    assert created["responseElements"]["functionArn"] == f"{ARN}:recorded"
    assert "that no record shows" not in json.dumps(records)
    (assumed, *_) = [
        record
        for record in records
        if record["eventName"] == "AssumeRole" and record["requestParameters"]["roleSessionName"] == "recorded"
    ]
    assert assumed["userIdentity"] == {"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}
    assert assumed["sourceIPAddress"] == "lambda.amazonaws.com"
