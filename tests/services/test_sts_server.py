"""STS by boto3 against servers in both modes: credentials that work, end, survive a restart, and what is recorded."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config

from skytrail.testing import Server, Skytrail

from ..end_to_end.kit import ONCE, answer, client
from ..end_to_end.kit import skytrail as command

ACCOUNT, OTHER = "123456789012", "210987654321"
DENIED = (403, "AccessDenied")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(arguments=["--mode", "enforced"], data=tmp_path_factory.mktemp("sts") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def root(server: Server) -> dict[str, str]:
    return keys(server, ACCOUNT)


def keys(server: Server, account: str) -> dict[str, str]:
    done = command("keys", "create", "--output", "json", "--data", str(server.data), "--account", account)
    assert done.returncode == 0, done.stderr
    key: dict[str, str] = json.loads(done.stdout)["AccessKey"]
    return key


def of(server: Server, credentials: dict[str, Any], service: str, **options: Any) -> Any:
    """A client that signs with these credentials, long-term or temporary."""
    token = credentials.get("SessionToken")
    return client(
        server,
        service,
        access_key=credentials["AccessKeyId"],
        secret_key=credentials["SecretAccessKey"],
        **({"aws_session_token": token} if token else {}),
        **options,
    )


def user(server: Server, root: dict[str, str], name: str, *allowed: dict[str, Any]) -> dict[str, str]:
    iam = of(server, root, "iam")
    iam.create_user(UserName=name)
    if allowed:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*allowed))
    key: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
    return key


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def trust(name: str) -> str:
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}
    actions = ["sts:AssumeRole", "sts:TagSession"]
    return policy({"Effect": "Allow", "Principal": principal, "Action": actions})


def allow(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


class _Control(http.client.HTTPConnection):
    """The operator's socket, over which the clock can be driven in enforced mode."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def drive(server: Server, action: str, **values: Any) -> None:
    control = _Control(server.data / "control.sock")
    control.request("POST", "/_skytrail/clock", json.dumps({"action": action, **values}), {"host": "localhost"})
    assert control.getresponse().status == 200
    control.close()


def test_a_role_from_its_making_to_its_end(server: Server, root: dict[str, str]) -> None:
    alice = user(server, root, "alice")
    iam = of(server, root, "iam")
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust("alice"))["Role"]
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=policy(allow("sqs:*")))
    sts = of(server, alice, "sts")
    given = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="visit", Policy=policy(allow("sqs:ListQueues")))
    credentials = given["Credentials"]
    assert given["AssumedRoleUser"]["AssumedRoleId"] == f"{role['RoleId']}:visit"
    who = of(server, credentials, "sts").get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/visit"
    info = of(server, root, "sts").get_access_key_info(AccessKeyId=credentials["AccessKeyId"])
    assert info["Account"] == ACCOUNT
    assert answer(of(server, alice, "sqs").list_queues)[1].startswith("AccessDenied")
    sqs = of(server, credentials, "sqs")
    assert answer(sqs.list_queues) == (200, "")
    assert answer(sqs.create_queue, QueueName="beyond-the-session-policy")[1].startswith("AccessDenied")
    without = {**credentials, "SessionToken": None}
    assert answer(of(server, without, "sts").get_caller_identity) == (403, "InvalidClientTokenId")
    iam.delete_role_policy(RoleName="reader", PolicyName="p")
    assert answer(sqs.list_queues)[1].startswith("AccessDenied")
    iam.delete_role(RoleName="reader")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust("alice"))
    assert answer(of(server, credentials, "sts").get_caller_identity) == (403, "InvalidClientTokenId")


def test_tags_of_a_session_decide(server: Server, root: dict[str, str]) -> None:
    bob = user(server, root, "bob")
    iam = of(server, root, "iam")
    arn = iam.create_role(RoleName="tagged", AssumeRolePolicyDocument=trust("bob"))["Role"]["Arn"]
    condition = {"StringEquals": {"aws:PrincipalTag/team": "blue"}}
    document = policy(allow("sqs:ListQueues", Condition=condition))
    iam.put_role_policy(RoleName="tagged", PolicyName="p", PolicyDocument=document)
    sts = of(server, bob, "sts")
    for team, works in (("blue", True), ("red", False)):
        tags = [{"Key": "team", "Value": team}]
        given = sts.assume_role(RoleArn=arn, RoleSessionName="visit", Tags=tags)["Credentials"]
        assert (answer(of(server, given, "sqs").list_queues) == (200, "")) is works


def test_a_federated_user_and_a_users_session(server: Server, root: dict[str, str]) -> None:
    carol = user(server, root, "carol", allow("sts:GetFederationToken", "sqs:*"))
    sts = of(server, carol, "sts")
    federated = sts.get_federation_token(Name="Bob", Policy=policy(allow("sqs:ListQueues", "iam:*")))["Credentials"]
    assert answer(of(server, federated, "sqs").list_queues) == (200, "")
    assert answer(of(server, federated, "sqs").create_queue, QueueName="q")[1].startswith("AccessDenied")
    assert answer(of(server, federated, "iam").list_users)[0] == 403
    bare = sts.get_federation_token(Name="Bob")["Credentials"]
    assert answer(of(server, bare, "sqs").list_queues)[0] in (400, 403)
    assert of(server, bare, "sts").get_caller_identity()["UserId"] == f"{ACCOUNT}:Bob"
    session = sts.get_session_token()["Credentials"]
    assert answer(of(server, session, "sqs").list_queues) == (200, "")
    assert of(server, session, "sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/carol"
    assert answer(of(server, session, "sts").get_session_token) == DENIED


def test_s3_with_a_session_in_every_kind_of_signature(server: Server, root: dict[str, str]) -> None:
    dora = user(server, root, "dora")
    iam = of(server, root, "iam")
    arn = iam.create_role(RoleName="keeper", AssumeRolePolicyDocument=trust("dora"))["Role"]["Arn"]
    iam.put_role_policy(RoleName="keeper", PolicyName="p", PolicyDocument=policy(allow("s3:*")))
    given = of(server, dora, "sts").assume_role(RoleArn=arn, RoleSessionName="visit")["Credentials"]
    bucket = "kept-by-a-session"
    of(server, given, "s3").create_bucket(Bucket=bucket)
    for version in ("s3v4", "s3"):
        s3 = of(server, given, "s3", config=Config(signature_version=version, s3={"addressing_style": "path"}))
        s3.put_object(Bucket=bucket, Key=version, Body=b"text", ContentType="text/plain", Metadata={"a": "b"})
        assert s3.get_object(Bucket=bucket, Key=version)["Body"].read() == b"text"
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": version}, ExpiresIn=60)
        assert fetched(url) == (200, b"text")
        assert fetched(url.replace(f"/{version}?", "/other?"))[0] == 403
        put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "put"}, ExpiresIn=60)
        assert fetched(put, b"by a link")[0] == 200
        assert s3.get_object(Bucket=bucket, Key="put")["Body"].read() == b"by a link"
        stranger = of(server, {**given, "SecretAccessKey": "x"}, "s3", config=Config(signature_version=version))
        assert answer(stranger.list_buckets) == (403, "SignatureDoesNotMatch")
    assert fetched(f"{server.endpoint}/{bucket}/s3v4?x-id=GetObject")[0] == 403


def fetched(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """By hand: clients of libraries add a Content-Type, which signatures of version 2 cover."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET" if body is None else "PUT", f"{parts.path}?{parts.query}", body)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def test_a_session_ends(server: Server, root: dict[str, str]) -> None:
    """Signatures bear the machine's time, so the server's may be ahead of it only by what S3 takes."""
    drive(server, "freeze")
    try:
        given = of(server, root, "sts").get_session_token(DurationSeconds=900)["Credentials"]
        drive(server, "advance", seconds=890)
        assert answer(of(server, given, "s3").list_buckets) == (200, "")
        drive(server, "advance", seconds=11)
        assert answer(of(server, given, "s3").list_buckets) == (400, "ExpiredToken")
        assert answer(of(server, given, "sqs").list_queues) == (400, "ExpiredTokenException")
        assert answer(of(server, given, "sts").get_caller_identity) == (403, "ExpiredToken")
    finally:
        drive(server, "reset")


def test_a_session_survives_kill_9(tmp_path: Path) -> None:
    with Server(data=tmp_path / "data") as server:
        sts = Skytrail(server.endpoint, account=ACCOUNT).client("sts")
        iam = Skytrail(server.endpoint, account=ACCOUNT).client("iam")
        arn = iam.create_role(RoleName="open", AssumeRolePolicyDocument=trust("nobody"))["Role"]["Arn"]
        given = sts.assume_role(RoleArn=arn, RoleSessionName="visit")["Credentials"]
        server.kill()
        server.start()
        who = of(server, given, "sts").get_caller_identity()
        assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/open/visit"
        found = Skytrail(server.endpoint, account=ACCOUNT).client("cloudtrail", config=ONCE).lookup_events()["Events"]
        records = {event["EventName"]: json.loads(event["CloudTrailEvent"]) for event in found}
        assert records["GetCallerIdentity"]["userIdentity"]["sessionContext"]["sessionIssuer"]["userName"] == "open"
        assert records["AssumeRole"]["userIdentity"]["type"] == "Root"
        assert given["SessionToken"] not in json.dumps(records)
        assert given["SecretAccessKey"] not in json.dumps(records)
