"""The condition keys that policies ask for: in their conditions, and as variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...call import Call
from ...identity import policy
from ..engines import Engines
from . import simulated_policies

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        GetContextKeysForCustomPolicyRequestTypeDef,
        GetContextKeysForPrincipalPolicyRequestTypeDef,
    )

_VARIABLE = re.compile(r"\$\{([^{}*?$,][^{},]*)[^{}]*\}")


def get_context_keys_for_custom_policy(
    call: Call, request: GetContextKeysForCustomPolicyRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    given = simulated_policies.given(request["PolicyInputList"], "PolicyInputList")
    return {"ContextKeyNames": of_documents(source.text for source in given)}


def get_context_keys_for_principal_policy(
    call: Call, request: GetContextKeysForPrincipalPolicyRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    given = simulated_policies.given(request.get("PolicyInputList", ()), "PolicyInputList")
    principal = simulated_policies.principal(engines.store.read, call.account, request["PolicySourceArn"])
    sources = [*simulated_policies.held(engines.store.read, call.account, principal), *given]
    boundary = simulated_policies.boundary(engines.store.read, principal)
    return {"ContextKeyNames": of_documents(source.text for source in (*sources, *boundary))}


def of_documents(documents: Iterable[str]) -> list[str]:
    """Each once, whatever its case, in the order of names."""
    found: dict[str, str] = {}
    for document in documents:
        for key in _of_tree(policy.read(document).get("Statement")):
            found.setdefault(key.lower(), key)
    return [found[key] for key in sorted(found)]


def _of_tree(statements: Any) -> Iterator[str]:
    for statement in statements if isinstance(statements, list) else [statements]:
        for keys in statement.get("Condition", {}).values():
            yield from keys
            yield from _variables(list(keys.values()))
        yield from _variables([statement.get("Resource"), statement.get("NotResource")])


def _variables(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield from _VARIABLE.findall(values)
    elif isinstance(values, list):
        for value in values:
            yield from _variables(value)
