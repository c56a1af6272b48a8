"""What identity-based policies a user or a role holds: its own, attached ones, and those of its groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..errors import StorageError
from ..storage.state import Reader
from . import accounts, groups, inline, managed, roles


class Held(msgspec.Struct, frozen=True):
    """Policy documents, as JSON texts."""

    documents: tuple[str, ...]
    #: The permissions boundary's; None where there is none.
    boundary: str | None = None


def of_user(reader: Reader, account: str, name: str) -> Held | None:
    """None where there is no such user."""
    user = accounts.user(reader, account, name)
    if user is None:
        return None
    documents = [text for _, text in inline.documents(reader, account, "user", name)]
    documents += _attached(reader, user.attached)
    for joined in user.groups:
        group = groups.group(reader, account, joined)
        if group is not None:
            documents += [text for _, text in inline.documents(reader, account, "group", joined)]
            documents += _attached(reader, group.attached)
    return Held(tuple(documents), _boundary(reader, user.boundary))


def of_role(reader: Reader, account: str, name: str) -> Held | None:
    """None where there is no such role."""
    role = roles.role(reader, account, name)
    if role is None:
        return None
    documents = [text for _, text in inline.documents(reader, account, "role", name)]
    documents += _attached(reader, role.attached)
    return Held(tuple(documents), _boundary(reader, role.boundary))


def _attached(reader: Reader, arns: Iterable[str]) -> Iterator[str]:
    for arn in arns:
        yield _document(reader, arn)


def _boundary(reader: Reader, arn: str) -> str | None:
    return _document(reader, arn) if arn else None


def _document(reader: Reader, arn: str) -> str:
    """A policy in use is never deleted. One that is not there is an error: left out, it may have denied or bounded."""
    text = managed.document(reader, arn)
    if text is None:
        raise StorageError(f"the policy {arn} is in use and is not there")
    return text
