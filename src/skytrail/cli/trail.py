"""`skytrail trail`: a trail in one command, with its bucket; and how it goes with it.

Each command is a few calls of CloudTrail and S3 as the account's root, which leave their records like any others.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import settings as settings_module
from ..errors import ServiceError, SettingsError, SkytrailError
from ..settings import Settings
from ..wire import arns
from .operator import operate, session

app = typer.Typer(help="Trails: records of what happens, as signed files in a bucket.", no_args_is_help=True)


class Format(StrEnum):
    text = "text"
    json = "json"


_TYPES = {
    "dynamodb": "AWS::DynamoDB::Table",
    "lambda": "AWS::Lambda::Function",
    "s3": "AWS::S3::Object",
    "sns": "AWS::SNS::Topic",
    "sqs": "AWS::SQS::Queue",
}
_NO_BUCKET = frozenset({"NoSuchBucket", "NotFound", "404"})

_Name = Annotated[str, typer.Argument(help="The trail's name, or its ARN.", metavar="NAME")]
_Data = Annotated[Path | None, typer.Option(help="Data directory.")]
_Account = Annotated[str | None, typer.Option(help="Account; the server's default one if none is named.")]
_Output = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]


@app.command()
def create(
    context: typer.Context,
    name: _Name,
    bucket: Annotated[str, typer.Option(help="Where the files go; made, with its policy, if it does not exist.")],
    prefix: Annotated[str, typer.Option(help="What the files' keys begin with.")] = "",
    region: Annotated[str | None, typer.Option(help="Home Region; the server's default one if none is named.")] = None,
    single_region: Annotated[
        bool, typer.Option("--single-region", metavar=" ", help="Only what happens in the home Region.")
    ] = False,
    data_events: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="s3, lambda, dynamodb, sns, sqs, a type such as AWS::S3::Object, or all."),
    ] = None,
    topic: Annotated[str, typer.Option(help="SNS topic that is told of each file: its name or ARN.")] = "",
    kms_key: Annotated[str, typer.Option(help="KMS key that the files are encrypted with.")] = "",
    account: _Account = None,
    data: _Data = None,
) -> None:
    """Make a trail that logs at once: management events of all Regions, with log file validation."""
    calls = _Calls(context, data, account, region, create=True)
    selectors = _selectors(data_events or [])
    with contextlib.ExitStack() as undone:
        is_new = not calls.has_bucket(bucket)
        if is_new:
            calls.make_bucket(bucket, calls.policy(bucket, prefix, name))
            undone.callback(calls.undo, "s3", "DeleteBucket", Bucket=bucket)
        try:
            made = calls(
                "cloudtrail",
                "CreateTrail",
                Name=name,
                S3BucketName=bucket,
                S3KeyPrefix=prefix or None,
                SnsTopicName=topic or None,
                KmsKeyId=kms_key or None,
                IsMultiRegionTrail=not single_region,
                IncludeGlobalServiceEvents=not single_region or calls.region == "us-east-1",
                EnableLogFileValidation=True,
            )
        except ServiceError as error:
            if is_new or not error.code.startswith("InsufficientS3BucketPolicy"):
                raise
            statements = [{**each, "Sid": None} for each in calls.policy(bucket, prefix, name)["Statement"]]
            needed = json.dumps([{key: value for key, value in each.items() if value} for each in statements], indent=2)
            raise SkytrailError(
                f"the bucket {bucket} exists, and its policy does not let CloudTrail in for this trail: "
                f"beside the statements that it has, it needs these\n{needed}"
            ) from error
        undone.callback(calls.undo, "cloudtrail", "DeleteTrail", Name=name)
        if selectors:
            calls("cloudtrail", "PutEventSelectors", TrailName=name, AdvancedEventSelectors=selectors)
        calls("cloudtrail", "StartLogging", Name=name)
        undone.pop_all()
    print(f"{made['TrailARN']} logs to s3://{bucket}/{f'{prefix}/' if prefix else ''}AWSLogs/")
    if is_new:
        print(f"The bucket {bucket} was made for it.", file=sys.stderr)


@app.command("list")
def list_(context: typer.Context, output: _Output = Format.text, account: _Account = None, data: _Data = None) -> None:
    """List the trails of an account: name, home Region, how far they reach, whether they log, bucket."""
    calls = _Calls(context, data, account)
    found = [calls.trail(name, region) for name, region in calls.homes()]
    if output is Format.json:
        print(json.dumps([{**trail, "IsLogging": status["IsLogging"]} for trail, status in found], indent=2))
        return
    if not found:
        print(f"No trails in account {calls.account}: is it another --account's?", file=sys.stderr)
    for trail, status in found:
        logs = "logging" if status["IsLogging"] else "stopped"
        print("\t".join((trail["Name"], trail["HomeRegion"], _reach(trail), logs, _place(trail))))


@app.command()
def status(
    context: typer.Context,
    name: _Name,
    region: Annotated[str | None, typer.Option(help="Whose deliveries are told of; the home Region's.")] = None,
    output: _Output = Format.text,
    account: _Account = None,
    data: _Data = None,
) -> None:
    """Tell how it goes with a trail. The exit status is 1 if it does not log, or if it failed at something last."""
    calls, name = _calls_for(context, name, data, account)
    trail, state = calls.trail(name, calls.home(name), region)
    if output is Format.json:
        print(json.dumps({"Trail": trail, "Status": state}, indent=2))
    else:
        events = _events(calls, trail)
        for label, text in _told(trail, state, events, region or trail["HomeRegion"]):
            print(f"{label:<15}{text}")
    if not state["IsLogging"] or any(member.endswith("Error") and state[member] for member in state):
        raise typer.Exit(1)


@app.command()
def delete(context: typer.Context, name: _Name, account: _Account = None, data: _Data = None) -> None:
    """Delete a trail. Its bucket stays, with all files."""
    calls, name = _calls_for(context, name, data, account)
    calls.region = calls.home(name)
    calls("cloudtrail", "DeleteTrail", Name=name)
    print(f"{name} is deleted.")


def _calls_for(context: typer.Context, name: str, data: Path | None, account: str | None) -> tuple[_Calls, str]:
    """Calls in the account of a trail, and its name; an ARN says both, and the Region too."""
    parts = name.split(":", 5)
    if len(parts) < 6 or not parts[5].startswith("trail/"):
        return _Calls(context, data, account), name
    return _Calls(context, data, account or parts[4], parts[3]), parts[5].removeprefix("trail/")


class _Calls:
    """Calls as the root of one account, in one Region."""

    def __init__(
        self,
        context: typer.Context,
        data: Path | None,
        account: str | None,
        region: str | None = None,
        *,
        create: bool = False,
    ) -> None:
        self._settings: Settings = settings_module.load(overrides={"storage.data": str(data) if data else None})
        self.account = self._settings.server.account if account is None else account
        self.region = self._settings.server.region if region is None else region
        if not arns.is_account(self.account):
            raise SettingsError(f"an account is 12 digits, not {self.account!r}")
        if not re.fullmatch("[a-z]{2,4}(-[a-z]+)+-[0-9]", self.region):
            raise SettingsError(f"a Region is such as us-east-1, not {self.region!r}")
        context.with_resource(session(self._settings, create=create))

    def __call__(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        return operate(self._settings, service, operation, given, account=self.account, region=self.region)

    def undo(self, service: str, operation: str, /, **parameters: Any) -> None:
        try:
            self(service, operation, **parameters)
        except SkytrailError as error:
            print(f"skytrail: {', '.join(map(str, parameters.values()))} stays: {error}", file=sys.stderr)

    # The bucket

    def has_bucket(self, bucket: str) -> bool:
        try:
            self("s3", "HeadBucket", Bucket=bucket)
        except ServiceError as error:
            # Another account's may be meant: whether it may be used, CreateTrail tells.
            return error.code not in _NO_BUCKET
        return True

    def make_bucket(self, bucket: str, policy: Mapping[str, Any]) -> None:
        place = None if self.region == "us-east-1" else {"LocationConstraint": self.region}
        self("s3", "CreateBucket", Bucket=bucket, CreateBucketConfiguration=place)
        try:
            self("s3", "PutBucketPolicy", Bucket=bucket, Policy=json.dumps(policy))
        except SkytrailError:
            self.undo("s3", "DeleteBucket", Bucket=bucket)
            raise

    def policy(self, bucket: str, prefix: str, trail: str) -> dict[str, Any]:
        """What CloudTrail's user guide gives a bucket for one trail."""
        partition = arns.partition_of(self.region)
        arn = arns.format("s3", "", "", bucket, partition)
        source = {"aws:SourceArn": arns.format("cloudtrail", self.region, self.account, f"trail/{trail}", partition)}
        common = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
        folder = f"{prefix}/AWSLogs" if prefix else "AWSLogs"
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "AWSCloudTrailAclCheck20150319",
                    **common,
                    "Action": "s3:GetBucketAcl",
                    "Resource": arn,
                    "Condition": {"StringEquals": source},
                },
                {
                    "Sid": "AWSCloudTrailWrite20150319",
                    **common,
                    "Action": "s3:PutObject",
                    "Resource": f"{arn}/{folder}/{self.account}/*",
                    "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", **source}},
                },
            ],
        }

    # Trails

    def homes(self) -> Iterator[tuple[str, str]]:
        """Name and home Region of all."""
        token: str | None = None
        while True:
            answer = self("cloudtrail", "ListTrails", NextToken=token)
            yield from ((trail["Name"], trail["HomeRegion"]) for trail in answer["Trails"])
            token = answer.get("NextToken")
            if token is None:
                return

    def home(self, name: str) -> str:
        found = [region for each, region in self.homes() if each == name]
        if not found:
            raise SkytrailError(f"account {self.account} has no trail {name}: is it another --account's?")
        # Single-Region trails of one name may be in several Regions.
        return self.region if self.region in found else found[0]

    def trail(self, name: str, home: str, region: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The trail, and how it goes in a Region."""
        self.region = home
        trail: dict[str, Any] = self("cloudtrail", "GetTrail", Name=name)["Trail"]
        self.region = region or home
        state = self("cloudtrail", "GetTrailStatus", Name=trail["TrailARN"])
        self.region = home
        return trail, state


# What is logged


def _selectors(kinds: list[str]) -> list[dict[str, Any]]:
    """Advanced event selectors; none where only management events are wanted."""
    if not kinds:
        return []
    from ..services.cloudtrail.selecting.data_types import all_types  # noqa: PLC0415 - only where they are wanted

    types: dict[str, None] = {}
    for kind in kinds:
        if kind == "all":
            types |= dict.fromkeys(sorted(all_types()))
        elif (found := _TYPES.get(kind.lower(), kind)) in all_types():
            types[found] = None
        else:
            known = ", ".join((*_TYPES, "all"))
            raise typer.BadParameter(
                f"{kind!r} is none of {known}, nor a type of resources", param_hint="--data-events"
            )
    fields = [
        [("eventCategory", "Management")],
        *([("eventCategory", "Data"), ("resources.type", resource_type)] for resource_type in types),
    ]
    return [{"FieldSelectors": [{"Field": name, "Equals": [value]} for name, value in each]} for each in fields]


def _events(calls: _Calls, trail: Mapping[str, Any]) -> str:
    if not trail.get("HasCustomEventSelectors"):
        return "all management events"
    answer = calls("cloudtrail", "GetEventSelectors", TrailName=trail["Name"])
    advanced = answer.get("AdvancedEventSelectors")
    if advanced is None:
        return f"{len(answer.get('EventSelectors', []))} event selectors"
    types = [
        field["Equals"][0]
        for selector in advanced
        for field in selector["FieldSelectors"]
        if field["Field"] == "resources.type"
    ]
    shown = ", ".join(types[:5]) + (f" and {len(types) - 5} more types" if len(types) > 5 else "")
    return f"{len(advanced)} advanced event selectors" + (f": data events of {shown}" if types else "")


# What is told


def _reach(trail: Mapping[str, Any]) -> str:
    if trail.get("IsOrganizationTrail"):
        return "organization, all Regions" if trail["IsMultiRegionTrail"] else "organization, one Region"
    return "all Regions" if trail["IsMultiRegionTrail"] else "one Region"


def _place(trail: Mapping[str, Any]) -> str:
    prefix = trail.get("S3KeyPrefix")
    return f"s3://{trail['S3BucketName']}" + (f"/{prefix}" if prefix else "")


def _told(trail: Mapping[str, Any], state: Mapping[str, Any], events: str, region: str) -> Iterator[tuple[str, str]]:
    yield "trail", trail["TrailARN"]
    yield "reaches", _reach(trail)
    yield "takes", events
    yield "bucket", _place(trail)
    if trail.get("KmsKeyId"):
        yield "key", trail["KmsKeyId"]
    yield "validation", "digests" if trail["LogFileValidationEnabled"] else "none"
    yield "logging", _logging(state)
    yield "", f"deliveries in {region}:"
    yield "file", _last(state, "LatestDelivery")
    if trail["LogFileValidationEnabled"]:
        yield "digest", _last(state, "LatestDigestDelivery")
    if trail.get("SnsTopicARN"):
        yield "notice", _last(state, "LatestNotification")
    if trail.get("CloudWatchLogsLogGroupArn"):
        yield "log group", _last(state, "LatestCloudWatchLogsDelivery")


def _logging(state: Mapping[str, Any]) -> str:
    if state["IsLogging"]:
        return f"since {_time(state.get('StartLoggingTime'))}"
    stopped = state.get("StopLoggingTime")
    return f"stopped at {_time(stopped)}" if stopped else "never started"


def _last(state: Mapping[str, Any], what: str) -> str:
    latest, error = state.get(f"{what}Time"), state.get(f"{what}Error")
    told = f"last at {_time(latest)}" if latest else "none yet"
    if not error:
        return told
    attempt = state.get(f"{what}AttemptTime")
    return f"{told}; the last attempt{f', at {attempt},' if attempt else ''} failed: {error}"


def _time(value: Any) -> str:
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if value else "?"
