"""`skytrail keys`: access keys for enforced mode, made by the owner of the data directory.

Each command is a few IAM calls as the account's root, which leave their records like any others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import settings as settings_module
from ..errors import MalformedPolicy, ServiceError, SettingsError, SkytrailError
from ..identity import policy as policies
from ..settings import Settings
from ..wire import arns
from .operator import operate, session

app = typer.Typer(help="Access keys for enforced mode.", no_args_is_help=True)


class Format(StrEnum):
    text = "text"
    json = "json"
    env = "env"


class ListFormat(StrEnum):
    text = "text"
    json = "json"


_Data = Annotated[Path | None, typer.Option(help="Data directory.")]
_Account = Annotated[str | None, typer.Option(help="Account; the server's default one if none is named.")]
_KeyId = Annotated[str, typer.Argument(help="Access key id.", metavar="ACCESS_KEY_ID")]


@app.command()
def create(
    context: typer.Context,
    account: _Account = None,
    user: Annotated[
        str | None, typer.Option(help="IAM user, made if it does not exist; the account's root if none is named.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="JSON policy that the user gets, under the file's name.", exists=True, dir_okay=False),
    ] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="env: lines for a shell's eval.")] = Format.text,
    data: _Data = None,
) -> None:
    """Make an access key. Its secret is shown now, and never again."""
    iam = _Iam(context, data, account, create=True)
    if policy is not None and user is None:
        raise SettingsError("the root of an account needs no policy: name a --user, or leave out --policy")
    document = _document(policy) if policy is not None else None
    if user is not None:
        iam.ensure_user(user)
    if policy is not None:
        iam("PutUserPolicy", UserName=user, PolicyName=policy.stem, PolicyDocument=document)
    _print_key(iam("CreateAccessKey", UserName=user)["AccessKey"], output)
    if user is not None and policy is None and not iam("ListUserPolicies", UserName=user)["PolicyNames"]:
        print(f"{user} has no policy yet, and may do next to nothing: give one with --policy", file=sys.stderr)


@app.command("list")
def list_(
    context: typer.Context,
    account: _Account = None,
    user: Annotated[str | None, typer.Option(help="Only this user's keys.")] = None,
    output: Annotated[ListFormat, typer.Option("--output", "-o")] = ListFormat.text,
    data: _Data = None,
) -> None:
    """List the access keys of an account: its root's and its users'."""
    iam = _Iam(context, data, account)
    owners = [user] if user is not None else [None, *(found["UserName"] for found in iam.pages("ListUsers", "Users"))]
    keys = [key for owner in owners for key in iam.pages("ListAccessKeys", "AccessKeyMetadata", UserName=owner)]
    if not keys:
        whose = f"{user} has no access keys" if user is not None else "No access keys"
        print(f"{whose} in account {iam.account}: is it another --account's?", file=sys.stderr)
    if output is ListFormat.json:
        print(json.dumps(keys, indent=2))
        return
    for key in keys:
        print("\t".join((key["AccessKeyId"], key["Status"], key.get("UserName", "(root)"), str(key["CreateDate"]))))


@app.command()
def disable(context: typer.Context, key: _KeyId, account: _Account = None, data: _Data = None) -> None:
    """Refuse an access key from now on."""
    iam = _Iam(context, data, account)
    iam("UpdateAccessKey", **iam.owner(key), AccessKeyId=key, Status="Inactive")
    print(f"{key} is disabled.")


@app.command()
def enable(context: typer.Context, key: _KeyId, account: _Account = None, data: _Data = None) -> None:
    """Accept a disabled access key again."""
    iam = _Iam(context, data, account)
    iam("UpdateAccessKey", **iam.owner(key), AccessKeyId=key, Status="Active")
    print(f"{key} is enabled.")


@app.command()
def delete(context: typer.Context, key: _KeyId, account: _Account = None, data: _Data = None) -> None:
    """Delete an access key for good."""
    iam = _Iam(context, data, account)
    iam("DeleteAccessKey", **iam.owner(key), AccessKeyId=key)
    print(f"{key} is deleted.")


class _Iam:
    """IAM of one account, called as its root."""

    def __init__(self, context: typer.Context, data: Path | None, account: str | None, *, create: bool = False) -> None:
        self._settings: Settings = settings_module.load(overrides={"storage.data": str(data) if data else None})
        self.account = self._settings.server.account if account is None else account
        if not arns.is_account(self.account):
            raise SettingsError(f"an account is 12 digits, not {self.account!r}")
        context.with_resource(session(self._settings, create=create))

    def __call__(self, operation: str, **parameters: str | None) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        return operate(self._settings, "iam", operation, given, account=self.account)

    def pages(self, operation: str, member: str, **parameters: str | None) -> Iterator[dict[str, Any]]:
        marker: str | None = None
        while True:
            output = self(operation, Marker=marker, **parameters)
            yield from output[member]
            marker = output.get("Marker")
            if marker is None:
                return

    def ensure_user(self, user: str) -> None:
        try:
            self("GetUser", UserName=user)
        except ServiceError as error:
            if not error.code.startswith("NoSuchEntity"):
                raise
            self("CreateUser", UserName=user)

    def owner(self, key: str) -> dict[str, str]:
        try:
            user = self("GetAccessKeyLastUsed", AccessKeyId=key).get("UserName")
        except ServiceError as error:
            if error.code not in ("AccessDenied", "ValidationError"):
                raise
            raise SkytrailError(
                f"account {self.account} has no access key {key}: is it another --account's?"
            ) from error
        return {"UserName": user} if user else {}


def _document(path: Path) -> str:
    try:
        document = path.read_text("utf-8")
        policies.parse(document)
    except (OSError, UnicodeDecodeError, MalformedPolicy) as error:
        raise SettingsError(f"{path}: {error}") from error
    return document


def _print_key(key: dict[str, Any], output: Format) -> None:
    match output:
        case Format.json:
            print(json.dumps({"AccessKey": key}, indent=2))
        case Format.env:
            print(f"export AWS_ACCESS_KEY_ID={key['AccessKeyId']}")
            print(f"export AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}")
        case Format.text:
            print(f"access key id      {key['AccessKeyId']}")
            print(f"secret access key  {key['SecretAccessKey']}")
            print(f"user               {key.get('UserName', '(root)')}")
