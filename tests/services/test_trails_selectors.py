"""What a trail takes, as clients say it: event selectors, Insights selectors and the event configuration."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from skytrail.services.cloudtrail.selecting import data_types
from skytrail.testing import Server, Skytrail

CASES = json.loads((Path(__file__).parent.parent / "cases" / "cloudtrail" / "selectors_put.json").read_text())
REGION = "eu-west-1"
DEFAULT = {
    "ReadWriteType": "All",
    "IncludeManagementEvents": True,
    "DataResources": [],
    "ExcludeManagementEventSources": [],
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def client(server: Server, service: str, account: str, region: str = REGION) -> Any:
    options = Config(retries={"total_max_attempts": 1}, parameter_validation=False, s3={"addressing_style": "path"})
    return Skytrail(server.endpoint, account=account, region=region).client(service, config=options)


class Trail:
    """A trail of an account of its own."""

    def __init__(self, server: Server) -> None:
        self.account = f"{next(_numbers):012d}"
        self.cloudtrail = client(server, "cloudtrail", self.account)
        self.s3 = client(server, "s3", self.account)
        self.bucket = f"trail-{self.account}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.allow()
        self.arn: str = self.cloudtrail.create_trail(Name="main-trail", S3BucketName=self.bucket)["TrailARN"]

    def allow(self) -> None:
        statements = [
            {"Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{self.bucket}"},
            {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{self.bucket}/*"},
        ]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, **each} for each in statements
            ],
        }
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def put(self, **selectors: Any) -> dict[str, Any]:
        return told(self.cloudtrail.put_event_selectors(TrailName="main-trail", **selectors))

    def get(self) -> dict[str, Any]:
        return told(self.cloudtrail.get_event_selectors(TrailName="main-trail"))

    def put_insights(self, *selectors: Mapping[str, Any]) -> dict[str, Any]:
        return told(self.cloudtrail.put_insight_selectors(TrailName="main-trail", InsightSelectors=selectors))

    def get_insights(self) -> dict[str, Any]:
        return told(self.cloudtrail.get_insight_selectors(TrailName="main-trail"))

    def custom(self) -> bool:
        return bool(self.cloudtrail.get_trail(Name="main-trail")["Trail"]["HasCustomEventSelectors"])


@pytest.fixture
def trail(server: Server) -> Trail:
    return Trail(server)


@pytest.fixture(scope="module")
def any_trail(server: Server) -> Trail:
    return Trail(server)


def told(answer: dict[str, Any]) -> dict[str, Any]:
    answer.pop("ResponseMetadata")
    return answer


def refused(code: str, caught: Any) -> str:
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return str(error["Message"])


def test_a_new_trail_takes_all_management_events(trail: Trail) -> None:
    assert trail.get() == {"TrailARN": trail.arn, "EventSelectors": [DEFAULT]}
    assert not trail.custom()


@pytest.mark.parametrize("case", CASES["kept"], ids=lambda case: case["reason"])
def test_selectors_are_kept(any_trail: Trail, case: Mapping[str, Any]) -> None:
    assert any_trail.put(**case["given"]) == {"TrailARN": any_trail.arn, **case["answered"]}
    assert any_trail.get() == {"TrailARN": any_trail.arn, **case["answered"]}


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["reason"])
def test_selectors_are_refused(any_trail: Trail, case: Mapping[str, Any]) -> None:
    before = any_trail.get()
    with pytest.raises(ClientError) as caught:
        any_trail.put(**case["given"])
    assert case["message"] in refused("InvalidEventSelectorsException", caught)
    assert any_trail.get() == before


MANAGEMENT = {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}


def test_what_is_put_last_replaces_the_other_kind(trail: Trail) -> None:
    trail.put(EventSelectors=[{"ReadWriteType": "ReadOnly"}])
    assert trail.custom()
    trail.put(AdvancedEventSelectors=[MANAGEMENT])
    assert trail.get() == {"TrailARN": trail.arn, "AdvancedEventSelectors": [MANAGEMENT]}
    assert trail.custom()
    trail.put(EventSelectors=[DEFAULT])
    assert trail.get() == {"TrailARN": trail.arn, "EventSelectors": [DEFAULT]}
    assert not trail.custom()


def data_resources(count: int, start: int = 0) -> list[dict[str, Any]]:
    values = [f"arn:aws:s3:::bucket/{number}" for number in range(start, start + count)]
    return [{"Type": "AWS::S3::Object", "Values": values}]


def test_a_trail_names_250_data_resources(trail: Trail) -> None:
    all_of_type = [{"Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda"]}]
    most = [{"DataResources": [*data_resources(200), *all_of_type]}, {"DataResources": data_resources(50, 200)}]
    answer = trail.put(EventSelectors=most)
    assert [len(each["DataResources"][0]["Values"]) for each in answer["EventSelectors"]] == [200, 50]
    with pytest.raises(ClientError) as caught:
        trail.put(EventSelectors=[*most, {"DataResources": data_resources(1)}])
    assert "Specify a valid number of DataResources.Values (0 to 250) for all your selectors." in refused(
        "InvalidEventSelectorsException", caught
    )
    with pytest.raises(ClientError) as caught:
        trail.put(EventSelectors=[{"DataResources": all_of_type * 251}])
    assert "Specify a valid number of DataResources.Values (0 to 250) for all your selectors." in refused(
        "InvalidEventSelectorsException", caught
    )


@pytest.mark.parametrize(
    ("data_type", "arn"),
    [
        ("AWS::CloudFront::KeyValueStore", "arn:aws:cloudfront:us-east-1:111122223333:key-value-store/store"),
        ("AWS::CloudFront::KeyValueStore", "arn:aws:cloudfront::111122223333:key-value-store/store"),
        ("AWS::DynamoDB::Stream", "arn:aws:dynamodb:us-east-1:111122223333:table/t/stream/2026-01-01T00:00:00.000"),
        ("AWS::EC2::Snapshot", "arn:aws:ec2:us-east-1::snapshot/snap-1"),
        ("AWS::IoTSiteWise::TimeSeries", "arn:aws:iotsitewise:us-east-1:111122223333:timeseries/series"),
        ("AWS::RDS::DBCluster", "arn:aws:rds:us-east-1:111122223333:cluster/one"),
        ("AWS::RDS::DBCluster", "arn:aws:rds:us-east-1:111122223333:cluster:one"),
        ("AWS::S3::AccessPoint", "arn:aws:s3:us-east-1:111122223333:accesspoint/point/object/a/key"),
        ("AWS::S3::Object", "arn:aws:s3:::bucket/"),
        ("AWS::S3::Object", "arn:aws-cn:s3:::bucket/path/"),
        ("AWS::S3Outposts::Object", "arn:aws:s3-outposts:us-east-1:111122223333:a/path"),
        ("AWS::SSM::ManagedNode", "arn:aws:ec2:us-east-1:111122223333:instance/i-1"),
        ("AWS::SWF::Domain", "arn:aws:swf:us-east-1:111122223333:domain/one"),
        ("AWS::VerifiedPermissions::PolicyStore", "arn:aws:verifiedpermissions:us-east-1:111122223333:policy-store/a"),
    ],
)
def test_whole_arns_have_the_forms_of_the_reference(data_type: str, arn: str) -> None:
    assert data_types.is_arn_of(data_type, arn)
    assert not data_types.is_arn_of(data_type, arn.partition("/")[0].rpartition(":")[0])


def objects(values: int) -> dict[str, Any]:
    """Has two values besides."""
    return {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "eventName", "NotEquals": [f"Name{number}" for number in range(values)]},
        ]
    }


def test_a_trail_has_500_values(trail: Trail) -> None:
    trail.put(AdvancedEventSelectors=[objects(248), objects(248)])
    with pytest.raises(ClientError) as caught:
        trail.put(AdvancedEventSelectors=[objects(248), objects(249)])
    assert "up to 500 values" in refused("InvalidEventSelectorsException", caught)
    with pytest.raises(ClientError) as caught:
        trail.put(AdvancedEventSelectors=[{**MANAGEMENT, "Name": "n" * 1001}])
    assert "at most 1000 characters" in refused("InvalidEventSelectorsException", caught)
    trail.put(AdvancedEventSelectors=[{**MANAGEMENT, "Name": "n" * 1000}])


def test_members_that_the_model_requires(trail: Trail) -> None:
    with pytest.raises(ClientError) as caught:
        trail.put(AdvancedEventSelectors=[{"FieldSelectors": [{"Equals": ["Management"]}]}])
    assert "field" in refused("ValidationException", caught)


@pytest.mark.parametrize("operation", ["put_event_selectors", "get_event_selectors"])
def test_trails_that_are_not_there(any_trail: Trail, operation: str) -> None:
    given: dict[str, Any] = {"EventSelectors": [{}]} if operation.startswith("put") else {}
    for name, code in (
        ("other-trail", "TrailNotFoundException"),
        ("x", "InvalidTrailNameException"),
        ("arn:aws:cloudtrail:nowhere", "CloudTrailARNInvalidException"),
        (any_trail.arn.replace(any_trail.account, "999999999999"), "TrailNotFoundException"),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(any_trail.cloudtrail, operation)(TrailName=name, **given)
        refused(code, caught)


def test_only_the_home_region_changes_a_trail(server: Server, trail: Trail) -> None:
    elsewhere = client(server, "cloudtrail", trail.account, "us-east-1")
    trail.cloudtrail.update_trail(Name="main-trail", IsMultiRegionTrail=True)
    answer = elsewhere.get_event_selectors(TrailName=trail.arn)
    assert answer["EventSelectors"] == [DEFAULT]
    changes: dict[str, dict[str, Any]] = {
        "put_event_selectors": {"EventSelectors": [{}]},
        "put_insight_selectors": {"InsightSelectors": [{"InsightType": "ApiErrorRateInsight"}]},
        "put_event_configuration": {"AggregationConfigurations": []},
    }
    for operation, given in changes.items():
        with pytest.raises(ClientError) as caught:
            getattr(elsewhere, operation)(TrailName=trail.arn, **given)
        refused("InvalidHomeRegionException", caught)


# Insights

CALLS, ERRORS = "ApiCallRateInsight", "ApiErrorRateInsight"


def test_insights_are_turned_on_and_off(trail: Trail) -> None:
    message = (
        f"Trail {trail.arn} does not have Insights enabled. "
        "Edit the trail settings to enable Insights, and then try the operation again."
    )
    with pytest.raises(ClientError) as caught:
        trail.get_insights()
    assert refused("InsightNotEnabledException", caught) == message
    assert not trail.cloudtrail.get_trail(Name="main-trail")["Trail"]["HasInsightSelectors"]

    both = [{"InsightType": kind, "EventCategories": ["Management"]} for kind in (CALLS, ERRORS)]
    assert trail.put_insights({"InsightType": CALLS}, {"InsightType": ERRORS}) == {
        "TrailARN": trail.arn,
        "InsightSelectors": both,
    }
    assert trail.get_insights() == {"TrailARN": trail.arn, "InsightSelectors": both}
    assert trail.cloudtrail.get_trail(Name="main-trail")["Trail"]["HasInsightSelectors"]

    assert trail.put_insights() == {"TrailARN": trail.arn, "InsightSelectors": []}
    with pytest.raises(ClientError) as caught:
        trail.get_insights()
    refused("InsightNotEnabledException", caught)


@pytest.mark.parametrize(
    ("selectors", "message"),
    [
        ([{"InsightType": "ApiLatencyInsight"}], "Value ApiLatencyInsight for InsightType is invalid"),
        ([{}], "for InsightType is invalid"),
        ([{"InsightType": CALLS}, {"InsightType": CALLS, "EventCategories": ["Data"]}], "given twice"),
        ([{"InsightType": CALLS, "EventCategories": []}], "is empty"),
        ([{"InsightType": CALLS, "EventCategories": ["NetworkActivity"]}], "NetworkActivity for EventCategories"),
        ([{"InsightType": CALLS, "EventCategories": ["Data", "Data"]}], "the same category twice"),
    ],
)
def test_insight_selectors_are_refused(any_trail: Trail, selectors: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ClientError) as caught:
        any_trail.put_insights(*selectors)
    assert message in refused("InvalidInsightSelectorsException", caught)


@pytest.mark.parametrize(
    ("logged", "kind", "category", "needed"),
    [
        ({"ReadWriteType": "ReadOnly"}, CALLS, "Management", "write management"),
        ({"ReadWriteType": "ReadOnly"}, ERRORS, "Management", None),
        ({"ReadWriteType": "WriteOnly"}, CALLS, "Management", None),
        ({"IncludeManagementEvents": False}, ERRORS, "Management", "read or write management"),
        ({}, CALLS, "Data", "read or write data"),
        ({"ReadWriteType": "ReadOnly", "DataResources": data_resources(1)}, CALLS, "Data", None),
        ({"ReadWriteType": "WriteOnly", "DataResources": data_resources(1)}, ERRORS, "Data", None),
    ],
)
def test_a_trail_logs_what_insights_need(
    any_trail: Trail, logged: dict[str, Any], kind: str, category: str, needed: str | None
) -> None:
    any_trail.put(EventSelectors=[logged])
    asked = {"InsightType": kind, "EventCategories": [category]}
    if needed is None:
        assert any_trail.put_insights(asked)["InsightSelectors"] == [asked]
        return
    with pytest.raises(ClientError) as caught:
        any_trail.put_insights(asked)
    message = refused("InvalidInsightSelectorsException", caught)
    assert message == f"For the {kind}, the trail must log {needed} events."


def test_insights_need_the_bucket(trail: Trail) -> None:
    trail.s3.delete_bucket_policy(Bucket=trail.bucket)
    with pytest.raises(ClientError) as caught:
        trail.put_insights({"InsightType": CALLS})
    refused("InsufficientS3BucketPolicyException", caught)
    trail.s3.delete_bucket(Bucket=trail.bucket)
    with pytest.raises(ClientError) as caught:
        trail.put_insights({"InsightType": CALLS})
    refused("S3BucketDoesNotExistException", caught)
    trail.put_insights()


# Event configuration


def test_aggregations_need_data_events(trail: Trail) -> None:
    none = {"TrailARN": trail.arn, "AggregationConfigurations": []}
    assert told(trail.cloudtrail.get_event_configuration(TrailName="main-trail")) == none
    asked = [{"Templates": ["API_ACTIVITY"], "EventCategory": "Data"}]
    with pytest.raises(ClientError) as caught:
        trail.cloudtrail.put_event_configuration(TrailName="main-trail", AggregationConfigurations=asked)
    assert "data events" in refused("InvalidParameterException", caught)
    put = trail.cloudtrail.put_event_configuration(TrailName=trail.arn, AggregationConfigurations=[])
    assert told(put) == none


@pytest.mark.parametrize(
    ("operation", "given", "code"),
    [
        ("put_event_configuration", {"MaxEventSize": "Large"}, "InvalidParameterCombinationException"),
        (
            "put_event_configuration",
            {"ContextKeySelectors": [{"Type": "TagContext", "Equals": ["k"]}]},
            "InvalidParameterCombinationException",
        ),
        ("put_event_configuration", {}, "InvalidParameterCombinationException"),
        (
            "put_insight_selectors",
            {"InsightSelectors": [], "InsightsDestination": "abcd"},
            "InvalidParameterCombinationException",
        ),
    ],
)
def test_what_belongs_to_event_data_stores(any_trail: Trail, operation: str, given: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(any_trail.cloudtrail, operation)(TrailName="main-trail", **given)
    refused(code, caught)


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("put_event_configuration", {"MaxEventSize": "Large"}),
        ("get_event_configuration", {}),
        ("put_insight_selectors", {"InsightSelectors": []}),
        ("get_insight_selectors", {}),
    ],
)
def test_event_data_stores_are_not_supported(any_trail: Trail, operation: str, given: dict[str, Any]) -> None:
    call = getattr(any_trail.cloudtrail, operation)
    for subject, code in (
        ({"EventDataStore": "abcdefgh"}, "UnsupportedOperationException"),
        ({"EventDataStore": "abcdefgh", "TrailName": "main-trail"}, "InvalidParameterCombinationException"),
        ({}, "InvalidParameterCombinationException"),
    ):
        with pytest.raises(ClientError) as caught:
            call(**subject, **given)
        refused(code, caught)


# What stays


def test_selectors_outlive_the_server(tmp_path: Path) -> None:
    insights = [{"InsightType": ERRORS, "EventCategories": ["Management"]}]
    server = Server(data=tmp_path / "data").start()
    try:
        trail = Trail(server)
        trail.put(AdvancedEventSelectors=[MANAGEMENT, objects(3)])
        trail.put_insights(*insights)
        server.kill()
        server.start()
        cloudtrail = client(server, "cloudtrail", trail.account)
        found = cloudtrail.get_event_selectors(TrailName="main-trail")
        assert found["AdvancedEventSelectors"] == [MANAGEMENT, objects(3)]
        assert cloudtrail.get_insight_selectors(TrailName="main-trail")["InsightSelectors"] == insights
    finally:
        server.stop()


# The types and their ARNs


@pytest.mark.parametrize(
    ("data_type", "arn"),
    [
        ("AWS::S3::Object", "arn:aws:s3:::bucket/a/key: with anything\n"),
        ("AWS::S3::AccessPoint", "arn:aws:s3:eu-west-1:111122223333:accesspoint/name/object/key"),
        ("AWS::Lambda::Function", "arn:aws-cn:lambda:cn-north-1:111122223333:function:job"),
        ("AWS::DynamoDB::Table", "arn:aws:dynamodb:eu-west-1:111122223333:table/orders"),
        ("AWS::DynamoDB::Stream", "arn:aws:dynamodb:eu-west-1:111122223333:table/t/stream/2026-01-01T00:00:00.000"),
        ("AWS::SQS::Queue", "arn:aws:sqs:eu-west-1:111122223333:queue"),
        ("AWS::SNS::Topic", "arn:aws:sns:eu-west-1:111122223333:topic"),
        ("AWS::SNS::PlatformEndpoint", "arn:aws:sns:eu-west-1:111122223333:endpoint/GCM/app/id"),
        ("AWS::Kinesis::Stream", "arn:aws:kinesis:eu-west-1:111122223333:stream/s"),
    ],
)
def test_arns_of_types(data_type: str, arn: str) -> None:
    assert data_type in data_types.all_types()
    assert data_types.is_arn_of(data_type, arn)
    assert not data_types.is_arn_of(data_type, "arn:aws:s3")
    assert not data_types.is_arn_of(data_type, "arn:aws:s3:::bucket")


def test_any_arn_of_types_whose_form_is_not_known() -> None:
    assert "AWS::XRay::Trace" in data_types.all_types()
    assert data_types.is_arn_of("AWS::XRay::Trace", "arn:aws:xray:eu-west-1:111122223333:trace/anything")
    assert not data_types.is_arn_of("AWS::XRay::Trace", "trace/anything")
