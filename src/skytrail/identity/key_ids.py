"""The ids of access keys, which tell their account as AWS's do.

After the four letters of the kind come 16 of base 32: a set bit, 40 bits of account, 39 random ones. AWS does not
publish the form; those who found it did. Ids without the set bit are older and tell nothing.
"""

from __future__ import annotations

import base64
import re

from ..work.ids import Ids

_FORM = re.compile(r"A[KS]IA[A-Z2-7]{16}")
_RANDOM_BITS, _ACCOUNT_BITS = 39, 40
_TELLS = 1 << _RANDOM_BITS + _ACCOUNT_BITS


def new(kind: str, account: str, ids: Ids) -> str:
    """`kind`: AKIA for long-term keys, ASIA for temporary ones."""
    random = int.from_bytes(ids.token_bytes(5), "big") >> 1
    number = _TELLS | int(account) << _RANDOM_BITS | random
    return kind + base64.b32encode(number.to_bytes(10, "big")).decode()


def account_of(access_key: str) -> str | None:
    """None where the id has not this form."""
    if not _FORM.fullmatch(access_key):
        return None
    number = int.from_bytes(base64.b32decode(access_key[4:]), "big")
    account = number >> _RANDOM_BITS & (1 << _ACCOUNT_BITS) - 1
    return f"{account:012d}" if number & _TELLS and account < 10**12 else None
