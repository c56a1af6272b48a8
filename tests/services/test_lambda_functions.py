"""Functions as resources: configuration, versions, aliases, policies, tags, limits; refusals as data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from skytrail.testing import DrivenClock, Server

from .lambda_house import ACCOUNT, PYTHON, REGION, ROLE, Functions, archive, client

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
REFUSALS = json.loads((Path(__file__).parents[1] / "cases/lambda/refusals.json").read_text("utf-8"))
ECHO = {"m.py": "import os\nhandler = lambda event, context: [os.environ['COLOUR'], context.function_version]"}


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with Server() as server:
        made = Functions(server)
        made.create("known")
        yield made


def refused(code: str, call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**given)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


@pytest.fixture(scope="module")
def unchecked(functions: Functions) -> Any:
    """A client that sends what the model does not allow."""
    return client(functions.server, validation=False)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case['operation']}: {case['message'][:60]}")
def test_refusals(unchecked: Any, case: dict[str, Any]) -> None:
    given = dict(case["with"]) if "with" in case else {}
    if case["operation"] == "CreateFunction":
        whole = {"FunctionName": "new", "Runtime": "python3.11", "Handler": "m.handler", "Role": ROLE}
        given = {**whole, "Code": {"ZipFile": archive({"m.py": ""})}, **given}
        given.pop(case.get("without", ""), None)
    if case.get("repeat") == "Description":
        given["Description"] = "x" * 257
    elif case.get("repeat") == "Environment":
        given["Environment"] = {"Variables": {"LARGE": "x" * 4096}}
    if given.get("ZipFile") in ("good", "bad", ""):
        given["ZipFile"] = archive({"m.py": ""}) if given["ZipFile"] == "good" else given["ZipFile"].encode()
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", case["operation"]).lower()
    with pytest.raises(ClientError) as caught:
        getattr(unchecked, method)(**given)
    error = caught.value.response
    assert error["Error"]["Code"] == case["code"]
    assert case["message"] in error["Error"]["Message"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == case.get("status", 400)
    if case["code"] not in ("ValidationException", "NotImplemented"):
        assert error.get("Type", "User") == "User"


def test_a_function(functions: Functions) -> None:
    code = archive({"m.py": PYTHON})
    made = functions.create(
        "whole",
        Code={"ZipFile": code},
        Description="d",
        Timeout=7,
        MemorySize=256,
        Environment={"Variables": {"AA": "b"}},
        DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"},
        TracingConfig={"Mode": "Active"},
        Architectures=["arm64"],
        EphemeralStorage={"Size": 1024},
        LoggingConfig={"LogGroup": "/my/group"},
        Tags={"team": "a"},
    )
    expected = {
        "FunctionName": "whole",
        "FunctionArn": f"{ARN}:whole",
        "Runtime": "python3.11",
        "Role": ROLE,
        "Handler": "m.handler",
        "CodeSize": len(code),
        "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(),
        "Description": "d",
        "Timeout": 7,
        "MemorySize": 256,
        "Version": "$LATEST",
        "Environment": {"Variables": {"AA": "b"}},
        "DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"},
        "TracingConfig": {"Mode": "Active"},
        "Architectures": ["arm64"],
        "EphemeralStorage": {"Size": 1024},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/my/group"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
    }
    del made["ResponseMetadata"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made["LastModified"])
    assert made == {**expected, "LastModified": made["LastModified"], "RevisionId": made["RevisionId"]}
    found = functions.api.get_function(FunctionName="whole")
    assert (found["Configuration"], found["Tags"], found["Code"]) == (made, {"team": "a"}, {"RepositoryType": "S3"})
    for name in ("whole", f"{ACCOUNT}:whole", f"{ACCOUNT}:function:whole", f"{ARN}:whole"):
        shown = functions.api.get_function_configuration(FunctionName=name)
        del shown["ResponseMetadata"]
        assert shown == made
    qualified = functions.api.get_function_configuration(FunctionName="whole:$LATEST")
    assert qualified["FunctionArn"] == f"{ARN}:whole:$LATEST"
    functions.api.get_waiter("function_active_v2").wait(FunctionName="whole")
    functions.api.get_waiter("function_updated_v2").wait(FunctionName="whole")
    functions.api.delete_function(FunctionName="whole")
    refused("ResourceNotFoundException", functions.api.get_function, FunctionName="whole")


def test_changes(functions: Functions) -> None:
    api = functions.api
    made = functions.create("changing", ECHO, Environment={"Variables": {"COLOUR": "red"}})
    assert functions.invoke("changing")["Result"] == ["red", "$LATEST"]
    new = api.update_function_configuration(
        FunctionName="changing", Environment={"Variables": {"COLOUR": "blue"}}, RevisionId=made["RevisionId"]
    )
    assert new["RevisionId"] != made["RevisionId"]
    assert functions.invoke("changing")["Result"] == ["blue", "$LATEST"]
    other = archive({"m.py": "handler = lambda event, context: 'other'"})
    tried = api.update_function_code(FunctionName="changing", ZipFile=other, DryRun=True)
    assert tried["CodeSize"] == len(other)
    assert functions.invoke("changing")["Result"] == ["blue", "$LATEST"]
    put = api.update_function_code(FunctionName="changing", ZipFile=other, RevisionId=new["RevisionId"])
    assert put["CodeSha256"] == tried["CodeSha256"] != made["CodeSha256"]
    assert put["Timeout"] == made["Timeout"]
    assert functions.invoke("changing")["Result"] == "other"
    cleared = api.update_function_configuration(FunctionName="changing", Environment={"Variables": {}}, Timeout=9)
    assert ("Environment" in cleared, cleared["Timeout"]) == (False, 9)


def test_versions(functions: Functions) -> None:
    api = functions.api
    functions.create("versioned", ECHO, Environment={"Variables": {"COLOUR": "red"}})
    one = api.publish_version(FunctionName="versioned", Description="first")
    assert (one["Version"], one["FunctionArn"], one["Description"]) == ("1", f"{ARN}:versioned:1", "first")
    assert api.publish_version(FunctionName="versioned")["Version"] == "1", "nothing has changed"
    api.update_function_configuration(FunctionName="versioned", Environment={"Variables": {"COLOUR": "blue"}})
    assert api.publish_version(FunctionName="versioned")["Version"] == "2"
    code = archive({"m.py": "handler = lambda event, context: 3"})
    assert api.update_function_code(FunctionName="versioned", ZipFile=code, Publish=True)["Version"] == "3"
    assert functions.invoke("versioned:1")["Result"] == ["red", "1"]
    answer = functions.invoke("versioned", Qualifier="2")
    assert (answer["Result"], answer["ExecutedVersion"]) == (["blue", "2"], "2")
    assert functions.invoke("versioned", Qualifier="$LATEST")["Result"] == 3
    listed = api.list_versions_by_function(FunctionName="versioned")["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2", "3"]
    pages = api.get_paginator("list_versions_by_function").paginate(
        FunctionName="versioned", PaginationConfig={"PageSize": 3}
    )
    assert [[version["Version"] for version in page["Versions"]] for page in pages] == [["$LATEST", "1", "2"], ["3"]]
    api.create_alias(FunctionName="versioned", Name="old", FunctionVersion="1")
    told = refused("ResourceConflictException", api.delete_function, FunctionName="versioned", Qualifier="1")
    assert "old" in told
    api.delete_function(FunctionName="versioned", Qualifier="2")
    refused("ResourceNotFoundException", api.invoke, FunctionName="versioned:2")
    assert functions.create("at-once", Publish=True)["Version"] == "1"


def test_aliases(functions: Functions) -> None:
    api = functions.api
    functions.create("aliased", ECHO, Environment={"Variables": {"COLOUR": "red"}}, Publish=True)
    api.update_function_configuration(FunctionName="aliased", Environment={"Variables": {"COLOUR": "blue"}})
    api.publish_version(FunctionName="aliased")
    made = api.create_alias(FunctionName="aliased", Name="live", FunctionVersion="1", Description="d")
    assert (made["AliasArn"], made["FunctionVersion"]) == (f"{ARN}:aliased:live", "1")
    told = refused(
        "ResourceConflictException", api.create_alias, FunctionName="aliased", Name="live", FunctionVersion="1"
    )
    assert told == f"Alias already exists: {ARN}:aliased:live"
    answer = functions.invoke(f"{ARN}:aliased:live")
    assert (answer["Result"], answer["ExecutedVersion"]) == (["red", "1"], "1")
    shown = api.get_function(FunctionName="aliased", Qualifier="live")["Configuration"]
    assert (shown["FunctionArn"], shown["Version"]) == (f"{ARN}:aliased:live", "1")

    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    put = api.update_alias(FunctionName="aliased", Name="live", RoutingConfig=weights, RevisionId=made["RevisionId"])
    assert (put["RoutingConfig"], put["Description"]) == (weights, "d")
    refused(
        "PreconditionFailedException", api.update_alias, FunctionName="aliased", Name="live",
        RevisionId=made["RevisionId"],
    )  # fmt: skip
    seen = {functions.invoke("aliased:live")["ExecutedVersion"] for _ in range(40)}
    assert seen == {"1", "2"}
    api.update_alias(FunctionName="aliased", Name="live", FunctionVersion="2", RoutingConfig={})
    assert functions.invoke("aliased:live")["ExecutedVersion"] == "2"
    for wrong in ({"1": 0.5, "2": 0.2}, {"2": 0.5}, {"1": 1.5}, {"9": 0.1}):
        with pytest.raises(ClientError):
            api.update_alias(FunctionName="aliased", Name="live", RoutingConfig={"AdditionalVersionWeights": wrong})
    api.create_alias(FunctionName="aliased", Name="a", FunctionVersion="$LATEST")
    listed = api.list_aliases(FunctionName="aliased")["Aliases"]
    assert [alias["Name"] for alias in listed] == ["a", "live"]
    (only,) = api.list_aliases(FunctionName="aliased", FunctionVersion="2")["Aliases"]
    assert only["Name"] == "live"
    api.delete_alias(FunctionName="aliased", Name="a")
    api.delete_alias(FunctionName="aliased", Name="a")
    assert len(api.list_aliases(FunctionName="aliased")["Aliases"]) == 1


def test_listing(functions: Functions) -> None:
    api = client(functions.server, account="111122223333")
    for number in range(55):
        api.create_function(
            FunctionName=f"f{number:02}",
            Runtime="provided",
            Handler="h",
            Role=ROLE,
            Code={},
            Tags={"skytrail:http": "http://127.0.0.1:9"},
            Publish=number < 2,
        )
    names = [f"f{number:02}" for number in range(55)]
    first = api.list_functions()
    assert [function["FunctionName"] for function in first["Functions"]] == names[:50]
    second = api.list_functions(Marker=first["NextMarker"])
    assert [function["FunctionName"] for function in second["Functions"]] == names[50:]
    assert "NextMarker" not in second
    everything = [
        (function["FunctionName"], function["Version"])
        for page in api.get_paginator("list_functions").paginate(
            FunctionVersion="ALL", PaginationConfig={"PageSize": 3}
        )
        for function in page["Functions"]
    ]
    assert everything[:5] == [("f00", "$LATEST"), ("f00", "1"), ("f01", "$LATEST"), ("f01", "1"), ("f02", "$LATEST")]
    assert len(everything) == 57
    assert api.get_account_settings()["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 55}
    elsewhere = client(functions.server, account="111122223333", region="us-west-2")
    assert elsewhere.list_functions()["Functions"] == []


def test_policies(functions: Functions) -> None:
    api = functions.api
    functions.create("shared", Publish=True)
    asked = {"FunctionName": "shared", "StatementId": "one", "Action": "lambda:InvokeFunction"}
    added = api.add_permission(
        **asked, Principal="sns.amazonaws.com", SourceArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:t", SourceAccount=ACCOUNT
    )
    statement = {
        "Sid": "one",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{ARN}:shared",
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
            "ArnLike": {"AWS:SourceArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t"},
        },
    }
    assert json.loads(added["Statement"]) == statement
    refused("ResourceConflictException", api.add_permission, **asked, Principal="*")
    found = api.get_policy(FunctionName="shared")
    assert json.loads(found["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    second = {**asked, "StatementId": "two", "Principal": "111122223333"}
    refused("PreconditionFailedException", api.add_permission, **second, RevisionId="x")
    api.add_permission(**second, RevisionId=found["RevisionId"])
    principals = [
        each["Principal"] for each in json.loads(api.get_policy(FunctionName="shared")["Policy"])["Statement"]
    ]
    assert principals[1] == {"AWS": "arn:aws:iam::111122223333:root"}
    api.add_permission(**{**asked, "Principal": "*"}, Qualifier="1")
    of_version = json.loads(api.get_policy(FunctionName="shared", Qualifier="1")["Policy"])
    assert of_version["Statement"][0]["Resource"] == f"{ARN}:shared:1"
    for name in ("one", "two"):
        api.remove_permission(FunctionName="shared", StatementId=name)
    refused("ResourceNotFoundException", api.get_policy, FunctionName="shared")
    assert api.get_policy(FunctionName="shared:1")["Policy"]
    api.delete_function(FunctionName="shared")
    functions.create("shared", Publish=True)
    refused("ResourceNotFoundException", api.get_policy, FunctionName="shared:1")


def test_tags(functions: Functions) -> None:
    functions.create("tagged", Tags={"a": "1"})
    arn = f"{ARN}:tagged"
    functions.api.tag_resource(Resource=arn, Tags={"b": "2", "a": "3"})
    assert functions.api.list_tags(Resource=arn)["Tags"] == {"a": "3", "b": "2"}
    functions.api.untag_resource(Resource=arn, TagKeys=["a", "c"])
    assert functions.api.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    refused("ResourceNotFoundException", functions.api.list_tags, Resource=f"{ARN}:nothing")


def test_event_configs(functions: Functions) -> None:
    api = functions.api
    functions.create("configured", Publish=True)
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
    put = api.put_function_event_invoke_config(
        FunctionName="configured", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    assert put["FunctionArn"] == f"{ARN}:configured:$LATEST"
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": queue}}
    changed = api.update_function_event_invoke_config(FunctionName="configured", MaximumEventAgeInSeconds=60)
    assert (changed["MaximumRetryAttempts"], changed["MaximumEventAgeInSeconds"]) == (0, 60)
    renewed = api.put_function_event_invoke_config(FunctionName="configured", MaximumEventAgeInSeconds=61)
    assert ("MaximumRetryAttempts" in renewed, renewed["DestinationConfig"]["OnFailure"]) == (False, {})
    api.put_function_event_invoke_config(FunctionName="configured", Qualifier="1", MaximumRetryAttempts=1)
    listed = api.list_function_event_invoke_configs(FunctionName="configured")["FunctionEventInvokeConfigs"]
    assert [each["FunctionArn"].rpartition(":")[2] for each in listed] == ["$LATEST", "1"]
    api.delete_function_event_invoke_config(FunctionName="configured")
    refused("ResourceNotFoundException", api.get_function_event_invoke_config, FunctionName="configured")
    assert api.get_function_event_invoke_config(FunctionName="configured:1")["MaximumRetryAttempts"] == 1


def test_concurrency(functions: Functions) -> None:
    api = functions.api
    functions.create("limited")
    api.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=0)
    assert api.get_function(FunctionName="limited")["Concurrency"] == {"ReservedConcurrentExecutions": 0}
    with pytest.raises(api.exceptions.TooManyRequestsException) as caught:
        functions.invoke("limited", {})
    error = caught.value.response
    assert error["Error"]["Message"] == "Rate Exceeded."
    assert error["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 429
    api.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=90)
    assert api.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 10
    assert functions.invoke("limited", {})["Result"]["event"] == {}
    api.delete_function_concurrency(FunctionName="limited")
    assert "ReservedConcurrentExecutions" not in api.get_function_concurrency(FunctionName="limited")


def test_large_payloads(functions: Functions) -> None:
    functions.create("large", {"m.py": "handler = lambda event, context: len(event)"})
    largest = '"' + "x" * ((6 << 20) - 2) + '"'
    assert functions.invoke("large", Payload=largest)["Result"] == (6 << 20) - 2
    told = refused("RequestTooLargeException", functions.api.invoke, FunctionName="large", Payload=largest + " ")
    assert told == "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    told = refused(
        "RequestTooLargeException", functions.api.invoke, FunctionName="large", Payload='"' + "x" * (1 << 20) + '"',
        InvocationType="Event",
    )  # fmt: skip
    assert "1048576" in told
    assert functions.api.invoke(FunctionName="large", InvocationType="DryRun")["StatusCode"] == 204


def test_nothing_stays_of_a_deleted_function(functions: Functions) -> None:
    data = functions.server.data
    functions.create("gone", Publish=True)
    functions.invoke("known", {})
    before = {place.name for place in (data / "functions").iterdir()}
    functions.invoke("gone", {})
    (folder,) = {place.name for place in (data / "functions").iterdir()} - before
    assert (data / "objects/lambda" / folder).is_file()
    functions.api.delete_function(FunctionName="gone")
    DrivenClock(functions.server.endpoint).advance(3600)
    assert not (data / "functions" / folder).exists()
    assert not (data / "objects/lambda" / folder).exists()
    assert functions.invoke("known", {})["Result"]["event"] == {}, "what is used stays"
