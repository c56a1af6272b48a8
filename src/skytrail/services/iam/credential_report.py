"""The credential report: every user of an account, and what it can sign in or sign calls with, as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import accounts
from ...identity.accounts import AccessKey, User
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import login_profiles, passwords
from .common import moment

#: A report holds for so long: until then no other is made.
SECONDS = 4 * 3600.0

COLUMNS = (
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
)
_NO_CERTIFICATES = ["false", "N/A", "false", "N/A"]


class Report(msgspec.Struct, frozen=True):
    made: float
    content: str


_REPORTS = Kind("iam-credential-report", Report)


def generate_credential_report(call: Call, request: dict[str, Any], engines: Engines) -> Change | dict[str, Any]:
    reader, now = engines.store.read, engines.clock.time()
    kept = reader.get(_REPORTS, call.account, "", "")
    if kept is not None and now < kept.made + SECONDS:
        return {"State": "COMPLETE"}
    made = Report(now, _content(reader, call.account))

    def apply(tx: Transaction) -> dict[str, Any]:
        tx.put(_REPORTS, call.account, "", "", made)
        return {"State": "STARTED", "Description": "No report exists. Starting a new report generation task"}

    return Change(apply)


def get_credential_report(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    kept = engines.store.read.get(_REPORTS, call.account, "", "")
    if kept is None:
        raise ServiceError("CredentialReportNotPresentException", "No report exists. Generate one first.")
    if engines.clock.time() >= kept.made + SECONDS:
        raise ServiceError(
            "CredentialReportExpiredException", "The most recent report has expired. Generate a new one."
        )
    return {"Content": kept.content.encode(), "ReportFormat": "text/csv", "GeneratedTime": moment(kept.made)}


def _content(reader: Reader, account: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    root = accounts.account(reader, account)
    if root is not None:
        keys = _keys(reader, root.keys)
        arn = f"arn:aws:iam::{account}:root"
        none = ["not_supported", "no_information", "not_supported", "not_supported", "false"]
        writer.writerow(["<root_account>", arn, _time(root.created), *none, *keys, *_NO_CERTIFICATES])
    for user in accounts.users(reader, account):
        password = _password(reader, account, user)
        keys = _keys(reader, user.keys)
        writer.writerow(
            [user.name, user.arn(account), _time(user.created), *password, "false", *keys, *_NO_CERTIFICATES]
        )
    return text.getvalue()


def _password(reader: Reader, account: str, user: User) -> list[str]:
    """Enabled, last used, last changed, next rotation. Nobody signs in with passwords here."""
    profile = login_profiles.profile(reader, account, user.name)
    if profile is None:
        return ["false", "N/A", "N/A", "N/A"]
    policy = passwords.policy(reader, account)
    days = policy.max_age if policy is not None else 0
    rotation = _time(profile.changed + days * passwords.DAY) if days else "N/A"
    return ["true", "no_information", _time(profile.changed), rotation]


def _keys(reader: Reader, ids: tuple[str, ...]) -> list[str]:
    cells: list[str] = []
    for key in list(accounts.keys_of(reader, ids))[:2]:
        cells += _key(reader, key)
    return (cells + ["false", "N/A", "N/A", "N/A", "N/A"] * 2)[:10]


def _key(reader: Reader, key: AccessKey) -> list[str]:
    use = accounts.key_use(reader, key.id)
    used = [_time(use.time), use.region, use.service] if use is not None else ["N/A", "N/A", "N/A"]
    return ["true" if key.status == "Active" else "false", _time(key.created), *used]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
