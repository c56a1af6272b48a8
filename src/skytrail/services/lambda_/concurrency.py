"""How many invocations may run at one time: of the account, and of a function that has its own share of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import archives, codes, functions
from .common import invalid
from .functions import FUNCTIONS, RESERVED
from .naming import unqualified

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        DeleteFunctionConcurrencyRequestTypeDef,
        GetFunctionConcurrencyRequestTypeDef,
        PutFunctionConcurrencyRequestTypeDef,
    )


def put_function_concurrency(call: Call, request: PutFunctionConcurrencyRequestTypeDef, engines: Engines) -> Change:
    asked = unqualified(call, request["FunctionName"], "Reserved concurrency")
    wanted, most = request["ReservedConcurrentExecutions"], engines.settings.functions.concurrency

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.existing(tx, asked)
        others = reserved(tx, asked.account, asked.region, besides=asked.name)
        # A tenth stays for the functions that have no share of their own.
        if wanted and most - others - wanted < most // 10:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{most // 10}]."
            )
        tx.put(RESERVED, asked.account, asked.region, asked.name, wanted)
        return {"ReservedConcurrentExecutions": wanted}

    return Change(apply)


def get_function_concurrency(
    call: Call, request: GetFunctionConcurrencyRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    asked, reader = unqualified(call, request["FunctionName"], "Reserved concurrency"), engines.store.read
    functions.existing(reader, asked)
    found = reader.get(RESERVED, asked.account, asked.region, asked.name)
    return {} if found is None else {"ReservedConcurrentExecutions": found}


def delete_function_concurrency(
    call: Call, request: DeleteFunctionConcurrencyRequestTypeDef, engines: Engines
) -> Change:
    asked = unqualified(call, request["FunctionName"], "Reserved concurrency")

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.existing(tx, asked)
        tx.delete(RESERVED, asked.account, asked.region, asked.name)
        return {}

    return Change(apply)


def reserved(reader: Reader, account: str, region: str, *, besides: str = "") -> int:
    """What is reserved in the account, all together."""
    return sum(share for name, share in reader.list(RESERVED, account, region) if name != besides)


def get_account_settings(call: Call, _: Any, engines: Engines) -> dict[str, Any]:
    reader, settings = engines.store.read, engines.settings.functions
    return {
        "AccountLimit": {
            "TotalCodeSize": settings.storage_bytes,
            "CodeSizeUnzipped": archives.LARGEST,
            "CodeSizeZipped": codes.LARGEST_ZIP,
            "ConcurrentExecutions": settings.concurrency,
            "UnreservedConcurrentExecutions": settings.concurrency - reserved(reader, call.account, call.region),
        },
        "AccountUsage": {
            "TotalCodeSize": codes.stored(reader, call.account, call.region),
            "FunctionCount": reader.count(FUNCTIONS, call.account, call.region),
        },
    }
