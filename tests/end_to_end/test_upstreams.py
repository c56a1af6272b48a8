"""A server with upstreams, by real clients: moto in its process, and upstreams that fail in every way."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from skytrail.testing import Server, Skytrail

from .kit import answer, client, investigated, metric
from .kit import skytrail as command

SECRET = "correct-horse-battery-staple"
ALL = {"SKYTRAIL_HISTORY_DATA_EVENTS": "all"}


def found(server: Server, response: dict[str, Any]) -> dict[str, Any]:
    (record,) = investigated(server, "--where", f"requestID={response['ResponseMetadata']['RequestId']}")
    return record


# moto


@pytest.fixture(scope="module")
def moto() -> Iterator[Server]:
    with Server(arguments=["--upstream", "*=moto"], environment=ALL) as server:
        yield server


def test_dynamodb_in_moto(moto: Server) -> None:
    dynamodb = client(moto, "dynamodb", region="eu-central-1")
    made = dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "team", "Value": "a"}],
    )
    arn = "arn:aws:dynamodb:eu-central-1:000000000000:table/orders"
    assert made["TableDescription"]["TableArn"] == arn
    record = found(moto, made)
    assert record["requestParameters"] == {
        "tableName": "orders",
        "keySchema": [{"attributeName": "id", "keyType": "HASH"}],
        "attributeDefinitions": [{"attributeName": "id", "attributeType": "S"}],
        "billingMode": "PAY_PER_REQUEST",
        "tags": [{"key": "team", "value": "a"}],
    }
    assert record["responseElements"]["tableDescription"]["tableArn"] == arn
    assert (record["resources"][0]["ARN"], record["eventCategory"]) == (arn, "Management")
    put = found(moto, dynamodb.put_item(TableName="orders", Item={"id": {"S": "1"}, "card": {"S": SECRET}}))
    assert (put["requestParameters"], put["readOnly"], put["eventCategory"]) == ({"tableName": "orders"}, False, "Data")
    got = dynamodb.get_item(TableName="orders", Key={"id": {"S": "1"}})
    assert got["Item"]["card"] == {"S": SECRET}
    assert SECRET not in json.dumps(found(moto, got))
    with pytest.raises(ClientError) as raised:
        dynamodb.describe_table(TableName="none")
    refused = found(moto, raised.value.response)
    assert (refused["errorCode"], refused["readOnly"]) == ("ResourceNotFoundException", True)


def test_ec2_in_moto(moto: Server) -> None:
    ec2 = client(moto, "ec2", region="eu-central-1")
    made = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, InstanceType="t3.micro", UserData=SECRET)
    (instance,) = made["Instances"]
    (run,) = investigated(moto, "--where", "eventName=RunInstances")
    assert run["requestParameters"]["userData"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert run["requestParameters"]["instancesSet"]["items"][0]["imageId"] == "ami-12345678"
    assert run["requestParameters"]["instanceType"] == "t3.micro"
    assert run["responseElements"]["instancesSet"]["items"][0]["instanceId"] == instance["InstanceId"]
    (seen,) = ec2.describe_instances()["Reservations"]
    assert seen["Instances"][0]["InstanceId"] == instance["InstanceId"]
    with pytest.raises(ClientError):
        ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"])
    records = investigated(moto, "--where", "eventName=DescribeInstances")
    assert [record.get("errorCode") for record in records] == ["Client.InvalidInstanceID.NotFound", None]
    assert SECRET not in json.dumps([*records, run])


def test_secrets_manager_in_moto(moto: Server) -> None:
    secrets = client(moto, "secretsmanager")
    made = secrets.create_secret(Name="db", SecretString=SECRET, Tags=[{"Key": "team", "Value": "a"}])
    record = found(moto, made)
    assert record["requestParameters"]["name"] == "db"
    assert record["requestParameters"]["secretString"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert record["responseElements"]["aRN"] == made["ARN"]
    got = secrets.get_secret_value(SecretId="db")
    assert got["SecretString"] == SECRET
    record = found(moto, got)
    assert (record["requestParameters"], record["responseElements"]) == ({"secretId": "db"}, None)
    assert record["resources"][0]["ARN"] == made["ARN"]


def test_rds_in_moto(moto: Server) -> None:
    made = client(moto, "rds").create_db_instance(
        DBInstanceIdentifier="db",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="admin",
        MasterUserPassword=SECRET,
    )
    record = found(moto, made)
    assert record["requestParameters"] == {
        "dBInstanceIdentifier": "db",
        "dBInstanceClass": "db.t3.micro",
        "engine": "postgres",
        "allocatedStorage": 20,
        "masterUsername": "admin",
        "masterUserPassword": "HIDDEN_DUE_TO_SECURITY_REASONS",
    }
    assert record["responseElements"]["dBInstance"]["dBInstanceIdentifier"] == "db"
    assert SECRET not in json.dumps(record)


def test_cloudformation_in_moto(moto: Server) -> None:
    """CloudTrail shows the keys of a stack's parameters, and none of their values."""
    template = {
        "Parameters": {"Password": {"Type": "String", "NoEcho": True}},
        "Resources": {"Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "bus"}}},
    }
    made = client(moto, "cloudformation").create_stack(
        StackName="stack",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "Password", "ParameterValue": SECRET}],
    )
    record = found(moto, made)
    assert record["requestParameters"] == {
        "stackName": "stack",
        "templateBody": json.dumps(template),
        "parameters": [{"parameterKey": "Password"}],
    }
    assert record["responseElements"] == {"stackId": made["StackId"]}


def test_motos_accounts_and_regions_are_apart(moto: Server) -> None:
    for account, region in (
        ("111122223333", "us-east-1"),
        ("111122223333", "eu-west-1"),
        ("444455556666", "us-east-1"),
    ):
        made = client(moto, "secretsmanager", account=account, region=region).create_secret(
            Name="same", SecretString="a"
        )
        assert made["ARN"].startswith(f"arn:aws:secretsmanager:{region}:{account}:secret:same-")
        assert found(moto, made)["recipientAccountId"] == account
    listed = client(moto, "secretsmanager", account="444455556666").list_secrets()["SecretList"]
    assert [secret["Name"] for secret in listed] == ["same"]


@pytest.mark.parametrize("header", ["x-moto-account-id", "x_moto_account_id", "X-Moto_Account-Id"])
def test_a_header_does_not_reach_another_account_of_motos(header: str, moto: Server) -> None:
    ssm = client(moto, "ssm", account="777788889999")
    ssm.meta.events.register("before-send", lambda request, **_: request.headers.__setitem__(header, "111122223333"))
    name = f"/{header}"
    ssm.put_parameter(Name=name, Value="a", Type="String")
    arn = client(moto, "ssm", account="777788889999").get_parameter(Name=name)["Parameter"]["ARN"]
    assert arn.startswith("arn:aws:ssm:us-east-1:777788889999:")


def test_motos_own_pages_are_not_reached(moto: Server) -> None:
    """Neither by a path that an object could have, nor by the host of moto's own pages."""
    sts = client(moto, "secretsmanager", account="121212121212")
    sts.create_secret(Name="kept", SecretString="a")
    for host, path in (("127.0.0.1", "/moto-api/reset?uploads"), ("motoapi.amazonaws.com", "/moto-api/reset?uploads")):
        connection = http.client.HTTPConnection("127.0.0.1", moto.port)
        scope = "121212121212/20260101/us-east-1/s3/aws4_request"
        signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        connection.request("POST", path, headers={"host": host, "authorization": signature})
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status >= 400
    assert [secret["Name"] for secret in sts.list_secrets()["SecretList"]] == ["kept"]


def test_what_nobody_implements_is_still_an_error_of_ours(moto: Server) -> None:
    asked = urllib.request.Request(moto.endpoint, b"{}", {"x-amz-target": "DynamoDB_20120810.NoSuchOperation"})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(asked)
    with raised.value as error:
        assert json.load(error)["__type"].endswith("UnknownOperationException")


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "why"),
    [
        ("cloudtrail", "create_event_data_store", {"Name": "store"}, "The create_event_data_store action"),
        ("workmail", "list_organizations", {}, "there is no such service"),
    ],
)
def test_what_moto_does_not_implement_is_an_error_that_is_not_tried_again(
    service: str, operation: str, parameters: dict[str, Any], why: str, moto: Server
) -> None:
    with pytest.raises(ClientError) as raised:
        getattr(client(moto, service), operation)(**parameters)
    error, metadata = raised.value.response["Error"], raised.value.response["ResponseMetadata"]
    assert (error["Code"], metadata["HTTPStatusCode"]) == ("NotImplemented", 501)
    assert error["Message"].startswith(f"The upstream moto does not implement this: {why}")
    assert found(moto, raised.value.response)["errorCode"] == "NotImplemented"


def test_a_reset_empties_moto_too() -> None:
    with Server(arguments=["--upstream", "ssm=moto"]) as server:
        skytrail = Skytrail(server.endpoint)
        ssm = skytrail.client("ssm")
        ssm.put_parameter(Name="a", Value="b", Type="String")
        skytrail.reset()
        assert ssm.describe_parameters()["Parameters"] == []
        assert "moto answers for ssm" in server.log()


def test_moto_in_the_place_of_services_of_ours(tmp_path: Path) -> None:
    services = ("s3", "sqs", "sns")
    arguments = [part for service in services for part in ("--upstream", f"{service}=moto")]
    with Server(arguments=arguments, environment=ALL) as server:
        s3 = client(server, "s3", config=Config(s3={"addressing_style": "path"}))
        s3.create_bucket(Bucket="bucket")
        key = "a b/ü//..%2F"
        s3.put_object(Bucket="bucket", Key=key, Body=b"x" * 2_000_000, ChecksumAlgorithm="SHA256")
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"x" * 2_000_000
        assert [found["Key"] for found in s3.list_objects_v2(Bucket="bucket")["Contents"]] == [key]
        url = s3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "put"})
        upload = urllib.request.Request(url, b"put", {"content-type": "text/plain"}, method="PUT")
        with urllib.request.urlopen(upload) as response:
            assert response.status == 200
        plain = urllib.request.Request(f"{server.endpoint}/put", headers={"host": "bucket.s3.localhost"})
        with urllib.request.urlopen(plain) as response:
            assert response.read() == b"put"
        queue = client(server, "sqs").create_queue(QueueName="q")["QueueUrl"]
        assert queue == f"{server.endpoint}/000000000000/q"
        client(server, "sqs").send_message(QueueUrl=queue, MessageBody=SECRET)
        (message,) = client(server, "sqs").receive_message(QueueUrl=queue)["Messages"]
        assert message["Body"] == SECRET
        records = investigated(server)
        assert {record["eventName"] for record in records} >= {"PutObject", "GetObject", "CreateQueue", "SendMessage"}
        assert SECRET not in json.dumps(records)


# Other upstreams


class Upstream:
    """An upstream in this process: `behave` answers each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.behave: Callable[[BaseHTTPRequestHandler], None] = lambda handler: self.say(handler, b"{}")
        self.received = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with_error = (ConnectionError, TimeoutError, ValueError)
                try:
                    super().handle_one_request()
                except with_error:
                    self.close_connection = True

            def do(self) -> None:
                outer.asked.append((self.command, self.path))
                outer.behave(self)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.do
                raise AttributeError(name)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def read(self, handler: BaseHTTPRequestHandler) -> None:
        left = int(handler.headers.get("content-length", 0))
        while left:
            piece = handler.rfile.read(min(left, 1 << 20))
            left -= len(piece)
            self.received += len(piece)

    def say(self, handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
        self.read(handler)
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def house(upstream: Upstream) -> Iterator[Server]:
    services = ("dynamodb", "s3", "sqs")
    arguments = [part for service in services for part in ("--upstream", f"{service}={upstream.url}")]
    with Server(arguments=arguments, environment={**ALL, "SKYTRAIL_UPSTREAMS_SECONDS": "0.4"}) as server:
        yield server


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def hang(_: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(2)


def rubbish(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 smtp.example.com ESMTP\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("behave", "status", "code"),
    [(hang, 504, "GatewayTimeout"), (reset, 502, "BadGateway"), (rubbish, 502, "BadGateway")],
)
def test_a_failing_upstream_is_a_clear_error_and_recorded(
    behave: Callable[[BaseHTTPRequestHandler], None], status: int, code: str, house: Server, upstream: Upstream
) -> None:
    upstream.behave = behave
    with pytest.raises(ClientError) as raised:
        client(house, "dynamodb").delete_table(TableName=f"t-{code}")
    response = raised.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (status, code)
    record = found(house, response)
    assert (record["errorCode"], record["errorMessage"]) == (code, response["Error"]["Message"])
    assert record["requestParameters"] == {"tableName": f"t-{code}"}


def test_an_upstream_stands_in_the_place_of_a_service_of_ours(house: Server, upstream: Upstream) -> None:
    upstream.behave = lambda handler: upstream.say(handler, b'{"QueueUrl": "http://elsewhere/q"}')
    made = client(house, "sqs").create_queue(QueueName="q")
    assert made["QueueUrl"] == "http://elsewhere/q"
    upstream.behave = lambda handler: upstream.say(
        handler, b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "not there"}', 400
    )
    assert answer(client(house, "sqs").get_queue_url, QueueName="q") == (400, "QueueDoesNotExist")
    records = investigated(house, "--where", "eventSource=sqs.amazonaws.com")
    assert [(record["eventName"], record.get("errorCode")) for record in records] == [
        ("GetQueueUrl", "QueueDoesNotExist"),
        ("CreateQueue", None),
    ]


def test_large_objects_pass_in_bounded_memory(house: Server, upstream: Upstream, tmp_path: Path) -> None:
    size = 200 << 20
    upstream.received = 0
    upstream.behave = lambda handler: upstream.say(handler, b"")
    before = metric(house, 'skytrail_process_resident_bytes{process="server"}')
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    s3 = client(
        house, "s3", config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    )
    with (tmp_path / "large").open("rb") as body:
        s3.put_object(Bucket="b", Key="large", Body=body)
    assert upstream.received == size
    piece = bytes(1 << 20)

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(size))
        handler.end_headers()
        for _ in range(size // len(piece)):
            handler.wfile.write(piece)

    upstream.behave = give
    got = s3.get_object(Bucket="b", Key="large")
    assert sum(map(len, got["Body"].iter_chunks(1 << 20))) == size
    assert metric(house, 'skytrail_process_resident_bytes{process="server"}') - before < 60 << 20
    events = investigated(house, "--where", "eventSource=s3.amazonaws.com")
    assert [transferred(event) for event in events] == [("GetObject", 0, size), ("PutObject", size, 0)]


def test_a_large_answer_that_breaks_off_is_cut_and_recorded_so(house: Server, upstream: Upstream) -> None:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(10 << 20))
        handler.end_headers()
        handler.wfile.write(bytes(3 << 20))
        handler.close_connection = True

    upstream.behave = give
    got = client(house, "s3", config=Config(s3={"addressing_style": "path"})).get_object(Bucket="b", Key="broken")
    with pytest.raises(BotoCoreError):
        got["Body"].read()
    (record,) = investigated(house, "--where", "errorCode=BadGateway", "--where", "eventName=GetObject")
    assert record["additionalEventData"]["bytesTransferredOut"] == 3 << 20
    assert "Traceback" not in house.log()


def transferred(event: dict[str, Any]) -> tuple[str, int, int]:
    more = event["additionalEventData"]
    return event["eventName"], more["bytesTransferredIn"], more["bytesTransferredOut"]


def test_a_kill_in_the_middle_of_a_write_leaves_a_record(upstream: Upstream, tmp_path: Path) -> None:
    arrived = threading.Event()

    def behave(handler: BaseHTTPRequestHandler) -> None:
        arrived.set()
        threading.Event().wait(5)

    upstream.behave = behave
    arguments = ["--upstream", f"*={upstream.url}"]
    with Server(data=tmp_path / "data", arguments=arguments) as server:
        ec2 = client(server, "ec2")

        def delete() -> None:
            with contextlib.suppress(BotoCoreError):
                ec2.delete_vpc(VpcId="vpc-1")

        calling = threading.Thread(target=delete)
        calling.start()
        assert arrived.wait(10)
        server.kill()
        calling.join()
        server.start()
        (record,) = investigated(server, "--where", "eventName=DeleteVpc")
        assert (record["errorCode"], record["requestParameters"]) == ("Server.OutcomeUnknown", {"vpcId": "vpc-1"})


def test_upstreams_are_enforced_like_everything_else(upstream: Upstream, tmp_path: Path) -> None:
    upstream.behave = lambda handler: upstream.say(handler, b'{"TableNames": []}')
    upstream.asked.clear()
    arguments = ["--mode", "enforced", "--upstream", f"dynamodb={upstream.url}"]
    with Server(data=tmp_path / "data", arguments=arguments) as server:
        made = command("keys", "create", "--data", str(server.data), "--output", "json")
        key = json.loads(made.stdout)["AccessKey"]
        root = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
        assert answer(client(server, "dynamodb").list_tables)[0] in (400, 403)
        assert upstream.asked == []
        assert answer(client(server, "dynamodb", **root).list_tables) == (200, "")
        iam = client(server, "iam", **root)
        iam.create_user(UserName="alice")
        own = iam.create_access_key(UserName="alice")["AccessKey"]
        alice = {"access_key": own["AccessKeyId"], "secret_key": own["SecretAccessKey"]}
        assert answer(client(server, "dynamodb", **alice).list_tables) == (400, "AccessDeniedException")
        statement = {"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=policy)
        assert answer(client(server, "dynamodb", **alice).list_tables) == (200, "")
        assert len(upstream.asked) == 2


@pytest.mark.parametrize("upstream_option", ["states=moto", "s3=nowhere"])
def test_a_wrong_upstream_is_said_at_the_start(upstream_option: str, tmp_path: Path) -> None:
    done = command("serve", "--port", "0", "--data", str(tmp_path), "--upstream", upstream_option)
    assert done.returncode != 0
    assert "upstreams:" in done.stderr
    assert "Traceback" not in done.stderr
