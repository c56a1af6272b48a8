"""Accounts with users and roles, and calls to STS through the pipeline of the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from skytrail.app import Pipeline
from skytrail.audit import record
from skytrail.gateway.metrics import Metrics
from skytrail.identity import inline, roles
from skytrail.identity.principals import Identity, root
from skytrail.settings import Settings, Sts

from ..identity.house import ACCOUNT, NOW, House

OTHER = "210987654321"
BEGUN = NOW.timestamp()
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def trusting(principal: Any, action: Any = "sts:*", **more: Any) -> str:
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"] if action == "sts:*" else action
    return policy({"Effect": "Allow", "Principal": principal, "Action": actions, **more})


EVERYONE = trusting({"AWS": "*"})


class Desk(House):
    """`desk("AssumeRole", by=..., RoleArn=...)`: the output, or the error; `record` is the last call's."""

    def __init__(self, data: Path, mode: Literal["open", "enforced"] = "open", issuers: tuple[str, ...] = ()) -> None:
        super().__init__(data, mode)
        if issuers:
            self.settings = Settings(server=self.settings.server, sts=Sts(issuers))
            given = {name: getattr(self.engines, name) for name in self.engines.__slots__}
            self.engines = type(self.engines)(**{**given, "settings": self.settings})
        self.pipeline = Pipeline(self.engines, self.authority, Metrics())
        self.record: dict[str, Any] = {}

    def __call__(self, operation: str, /, *, by: Identity | None = None, **parameters: Any) -> dict[str, Any]:
        call = self.call("sts", operation, parameters=parameters, identity=by)
        self.run(self.pipeline.perform(call))
        self.record = json.loads(record.build(call, self.clock.time()))
        if call.error is not None:
            raise call.error
        return call.output or {}

    def user(self, name: str = "alice", account: str = ACCOUNT, *, may: str = "") -> Identity:
        key, _ = self.key(name, account)
        if may:
            self._submit(lambda tx: inline.put(tx, account, "user", name, "p", may))
        known = self.authority.key(key.id)
        assert known is not None
        return known.identity

    def role(self, name: str = "reader", trust: str = EVERYONE, account: str = ACCOUNT, **more: Any) -> str:
        made = roles.Role(
            **{"name": name, "id": self.ids.principal("AROA"), "path": "/", "created": BEGUN, **more}, trust=trust
        )
        self._submit(lambda tx: roles.put(tx, account, made))
        return made.arn(account)

    def delete_role(self, name: str = "reader") -> None:
        self._submit(lambda tx: roles.delete(tx, ACCOUNT, name))

    def session(self, answer: dict[str, Any]) -> Identity:
        """Who calls with the credentials of an answer."""
        given = answer["Credentials"]
        known = self.authority.session(given["AccessKeyId"], given["SessionToken"])
        assert known is not None
        assert known.secret == given["SecretAccessKey"]
        return known.identity

    def assume(self, role: str = ROLE, by: Identity | None = None, **more: Any) -> Identity:
        return self.session(self("AssumeRole", by=by, **{"RoleArn": role, "RoleSessionName": "visit", **more}))

    def caller(self, name: str) -> Identity:
        """Callers by the names that the cases give them."""
        if name == "root":
            return root(ACCOUNT)
        if name.endswith(".amazonaws.com"):
            return Identity("AWSService", ACCOUNT, invoked_by=name)
        return self.user(name, OTHER if name == "eve" else ACCOUNT)

    def _submit(self, change: Any) -> None:
        async def submit() -> None:
            await self.store.submit(change)

        self.run(submit())
