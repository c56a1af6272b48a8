"""Records that are no calls: service events, sign-ins, events that others give; their forms, and what is cut."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from skytrail.audit import events
from skytrail.audit.events import Attempt, InvalidEvent, ServiceEvent
from skytrail.call import Source
from skytrail.identity.principals import Identity, Session, root
from skytrail.services.cloudtrail.history.fresh import shown

from .calls import ACCOUNT, ALICE, NOW, TLS

KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:102.0) Gecko/20100101 Firefox/102.0"


def read(data: bytes) -> dict[str, Any]:
    assert len(data) <= 256 * 1024
    found: dict[str, Any] = json.loads(data)
    return found


# What a service does by itself

ROTATION = ServiceEvent(
    source="kms.amazonaws.com",
    name="RotateKey",
    account=ACCOUNT,
    region="us-west-2",
    time=NOW,
    id="a24b3967-ddad-417f-9b22-2332b918db06",
    resources=[{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": KEY}],
    details={"rotationType": "AUTOMATIC", "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab"},
)


def changed(event: Any, **changes: Any) -> Any:
    return type(event)(**{name: changes.get(name, getattr(event, name)) for name in event.__slots__})


def test_a_service_event() -> None:
    record = read(events.service_event(ROTATION))
    assert list(record.items()) == [
        ("eventVersion", "1.11"),
        ("userIdentity", {"accountId": ACCOUNT, "invokedBy": "AWS Internal"}),
        ("eventTime", "2026-11-20T20:18:22Z"),
        ("eventSource", "kms.amazonaws.com"),
        ("eventName", "RotateKey"),
        ("awsRegion", "us-west-2"),
        ("sourceIPAddress", "AWS Internal"),
        ("userAgent", "AWS Internal"),
        ("requestParameters", None),
        ("responseElements", None),
        ("eventID", ROTATION.id),
        ("readOnly", False),
        ("resources", ROTATION.resources),
        ("eventType", "AwsServiceEvent"),
        ("managementEvent", True),
        ("recipientAccountId", ACCOUNT),
        ("serviceEventDetails", {"rotationType": "AUTOMATIC", "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}),
        ("eventCategory", "Management"),
    ]


def test_a_service_event_without_details_or_resources() -> None:
    record = read(events.service_event(changed(ROTATION, details=None, resources=[])))
    assert {"serviceEventDetails", "resources", "additionalEventData", "omitted"}.isdisjoint(record)


def test_what_is_cut_of_a_service_event() -> None:
    additional = {"clusterId": "cluster-1", "backingKeys": "\N{EURO SIGN}" * 40_000}
    record = read(events.service_event(changed(ROTATION, additional=additional)))
    assert record["omitted"] is True
    assert len(json.dumps(record["additionalEventData"], ensure_ascii=False).encode()) <= 28 * 1024
    assert record["serviceEventDetails"] == ROTATION.details

    record = read(events.service_event(changed(ROTATION, details={"keys": ["k" * 100] * 5000})))
    assert record["omitted"] is True
    assert 90_000 < len(json.dumps(record["serviceEventDetails"])) <= 110_000
    many = ROTATION.resources * 60
    record = read(events.service_event(changed(ROTATION, resources=many)))
    assert (len(record["resources"]), record["omitted"]) == (50, True)
    record = read(
        events.service_event(changed(ROTATION, resources=[{"ARN": "x" * 5000}] * 50, details={"a": "b" * 90_000}))
    )
    assert len(record["resources"]) == 50


def test_ids_tell_apart() -> None:
    made = {events.id_of("a", "b"), events.id_of("a", "c"), events.id_of("ab", "")}
    assert len(made) == 3
    assert events.id_of("a", "b") in made
    assert all(UUID(each).version == 4 for each in made)


def test_the_history_reads_a_service_event() -> None:
    row = shown(7, events.service_event(ROTATION))
    assert (row.account, row.region, row.category, row.username) == (ACCOUNT, "us-west-2", "Management", "")
    assert (row.event_name, row.event_source, row.read_only) == ("RotateKey", "kms.amazonaws.com", "false")
    assert row.resource_types == {"AWS::KMS::Key"}
    assert row.resource_names == {KEY, "1234abcd-12ab-34cd-56ef-1234567890ab"}


# Sign-ins


def attempt(identity: Identity, **more: Any) -> Attempt:
    return Attempt(identity, NOW, "3fcfb182-98f8-4744-bd45-10a395ab61cb", Source("192.0.2.0"), BROWSER, **more)


def test_a_user_signs_in() -> None:
    made = events.console_login(attempt(ALICE), to="https://console.aws.amazon.com/sns", mfa_used=False)
    assert list(read(made).items()) == [
        ("eventVersion", "1.11"),
        (
            "userIdentity",
            {
                "type": "IAMUser",
                "principalId": "AIDAEXAMPLE",
                "arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
                "accountId": ACCOUNT,
                "userName": "alice",
            },
        ),
        ("eventTime", "2026-11-20T20:18:22Z"),
        ("eventSource", "signin.amazonaws.com"),
        ("eventName", "ConsoleLogin"),
        ("awsRegion", "us-east-1"),
        ("sourceIPAddress", "192.0.2.0"),
        ("userAgent", BROWSER),
        ("requestParameters", None),
        ("responseElements", {"ConsoleLogin": "Success"}),
        (
            "additionalEventData",
            {"LoginTo": "https://console.aws.amazon.com/sns", "MobileVersion": "No", "MFAUsed": "No"},
        ),
        ("eventID", "3fcfb182-98f8-4744-bd45-10a395ab61cb"),
        ("readOnly", False),
        ("eventType", "AwsConsoleSignIn"),
        ("managementEvent", True),
        ("recipientAccountId", ACCOUNT),
        ("eventCategory", "Management"),
    ]


def test_a_user_fails_to_sign_in() -> None:
    failed = attempt(ALICE, error="Failed authentication", region="eu-west-1", host="eu-west-1.signin.aws.amazon.com")
    failed = changed(failed, source=Source("192.0.2.0", tls=TLS))
    record = read(events.console_login(failed, to="https://x", mfa_used=True, mobile=True))
    assert record["userIdentity"] == {
        "type": "IAMUser", "principalId": "AIDAEXAMPLE", "accountId": ACCOUNT, "userName": "alice", "accessKeyId": "",
    }  # fmt: skip
    assert record["errorMessage"] == "Failed authentication"
    assert record["responseElements"] == {"ConsoleLogin": "Failure"}
    assert record["additionalEventData"] == {"LoginTo": "https://x", "MobileVersion": "Yes", "MFAUsed": "Yes"}
    assert record["awsRegion"] == "eu-west-1"
    assert record["tlsDetails"] == {
        "tlsVersion": TLS.version,
        "cipherSuite": TLS.cipher_suite,
        "clientProvidedHostHeader": "eu-west-1.signin.aws.amazon.com",
    }


def test_a_name_that_is_no_users_is_not_shown() -> None:
    nobody = attempt(Identity("IAMUser", ACCOUNT), error="No username found in supplied account")
    assert read(events.console_login(nobody, to="https://x", mfa_used=False))["userIdentity"] == {
        "type": "IAMUser", "accountId": ACCOUNT, "userName": "HIDDEN_DUE_TO_SECURITY_REASONS", "accessKeyId": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("region", "recorded"), [("", "us-east-1"), ("eu-west-1", "us-east-1"), ("cn-northwest-1", "cn-north-1")]
)
def test_a_root_signs_in(region: str, recorded: str) -> None:
    device = f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"
    made = events.console_login(attempt(root(ACCOUNT), region=region), to="https://x", mfa_used=True, mfa=device)
    record = read(made)
    assert record["userIdentity"] == {
        "type": "Root",
        "principalId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:root",
        "accountId": ACCOUNT,
        "accessKeyId": "",
    }
    assert record["awsRegion"] == recorded
    assert record["additionalEventData"] == {
        "LoginTo": "https://x", "MobileVersion": "No", "MFAIdentifier": device, "MFAUsed": "Yes",
    }  # fmt: skip


def test_a_role_is_switched_to() -> None:
    role = Identity(
        "AssumedRole",
        ACCOUNT,
        principal_id="AROAEXAMPLE:Alice",
        arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/developer/Alice",
        access_key="ASIAEXAMPLE",
    )
    old = "arn:aws:iam::999999999999:user/Alice"
    record = read(events.switch_role(attempt(role, region="ap-northeast-1"), switched_from=old, to="https://x"))
    assert record["userIdentity"] == {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:Alice",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/developer/Alice",
        "accountId": ACCOUNT,
    }
    assert (record["eventName"], record["awsRegion"]) == ("SwitchRole", "ap-northeast-1")
    assert record["responseElements"] == {"SwitchRole": "Success"}
    assert record["additionalEventData"] == {"SwitchFrom": old, "RedirectTo": "https://x"}
    federated = msgspec.structs.replace(role, session=Session(NOW, mfa=True))
    shown_identity = read(events.sign_in("ConsoleLogin", attempt(federated)))["userIdentity"]
    assert shown_identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "true"


def test_a_second_factor_is_asked_for() -> None:
    record = read(events.check_mfa(attempt(ALICE), kind="U2F MFA"))
    assert record["responseElements"] == {"CheckMfa": "Success"}
    assert record["additionalEventData"] == {"MfaType": "U2F MFA"}


def test_what_is_cut_of_a_sign_in() -> None:
    long = changed(attempt(ALICE, error="e" * 2000), user_agent="m" * 2000)
    record = read(events.console_login(long, to="https://x/" + "y" * 50_000, mfa_used=False))
    assert (len(record["userAgent"]), len(record["errorMessage"])) == (1024, 1024)
    assert len(record["additionalEventData"]["LoginTo"]) == 1024
    assert record["additionalEventData"]["MFAUsed"] == "No"
    assert record["omitted"] is True


# Events from outside

GIVEN: dict[str, Any] = {
    "version": "1",
    "userIdentity": {"type": "user", "principalId": "u-1", "details": {"team": "a"}},
    "eventSource": "app.example.com",
    "eventName": "Approve",
    "eventTime": "2026-11-20T20:00:00Z",
    "UID": "e-1",
    "requestParameters": {"order": 7},
    "recipientAccountId": ACCOUNT,
}
CHANNEL = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:channel/01234567-89ab-cdef-0123-456789abcdef"


def given(event: dict[str, Any]) -> dict[str, Any]:
    return read(events.given(event, channel=CHANNEL, account=ACCOUNT, region="eu-west-1", time=NOW, event_id="the-id"))


def test_an_event_from_outside() -> None:
    assert given(GIVEN) == {
        "eventVersion": "1.11",
        "eventCategory": "ActivityAuditLog",
        "eventType": "ActivityLog",
        "eventID": "the-id",
        "eventTime": "2026-11-20T20:00:00Z",
        "awsRegion": "eu-west-1",
        "recipientAccountId": ACCOUNT,
        "metadata": {"ingestionTime": "2026-11-20T20:18:22Z", "channelARN": CHANNEL},
        "eventData": GIVEN,
    }
    assert given({**GIVEN, "eventTime": "2026-11-20T20:00:00.25"})["eventTime"] == "2026-11-20T20:00:00Z"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"UID": None}, "UID is missing"),
        ({"UID": ""}, "UID is not a text"),
        ({"UID": 7}, "UID is not a text"),
        ({"UID": "u" * 1025}, "UID has more than 1024 characters"),
        ({"errorCode": "u" * 257}, "errorCode has more than 256 characters"),
        ({"userIdentity": "u"}, "userIdentity is not an object"),
        ({"userIdentity": {"type": "user"}}, "userIdentity.principalId is missing"),
        ({"userIdentity": {"type": "u" * 129, "principalId": "p"}}, "userIdentity.type has more than 128 characters"),
        ({"userIdentity": {"type": "t", "principalId": "p", "arn": "a"}}, "userIdentity.arn is no member of an event"),
        ({"requestParameters": {"a": "b" * 102_400}}, "requestParameters has more than 102400 bytes"),
        ({"additionalEventData": {"a": "b" * 28_672}}, "additionalEventData has more than 28672 bytes"),
        ({"addendum": {}}, "addendum is no member of an event"),
        ({"eventTime": "yesterday"}, "eventTime is no time such as 2026-01-31T12:00:00Z"),
        ({"eventTime": "2026-13-01T00:00:00Z"}, "eventTime is no time such as 2026-01-31T12:00:00Z"),
        ({"recipientAccountId": "999999999999"}, f"recipientAccountId is not {ACCOUNT}, the account of the channel"),
    ],
)
def test_events_from_outside_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        given({**GIVEN, **changes})
    assert str(refused.value) == message


def test_a_large_event_from_outside_fits_or_is_refused() -> None:
    large = {"a": "\N{EURO SIGN}" * 34_000}
    assert (
        given({**GIVEN, "requestParameters": large, "responseElements": large})["eventData"]["responseElements"]
        == large
    )
    identity = {"type": "t", "principalId": "p", "details": large}
    with pytest.raises(InvalidEvent, match="larger than 262144 bytes"):
        given({**GIVEN, "requestParameters": large, "responseElements": large, "userIdentity": identity})
