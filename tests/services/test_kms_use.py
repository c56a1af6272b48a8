"""KMS: encryption, data keys, codes and grants."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.identity.principals import root
from skytrail.services.kms import demands, keys
from skytrail.services.kms.grants import Grant, grants_of, permits

from ..identity.house import ACCOUNT, NOW
from .kms_house import Keys

ARN = f"arn:aws:kms:eu-west-1:{ACCOUNT}:"
ALICE, BOB = f"arn:aws:iam::{ACCOUNT}:user/alice", f"arn:aws:iam::{ACCOUNT}:role/bob"
CASES = json.loads((Path(__file__).parent.parent / "cases" / "kms" / "grants.json").read_text())
DRY = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
DENIED = (
    "AccessDeniedException",
    (
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
        "or you are not allowed to access."
    ),
)
INVALID = ("InvalidCiphertextException", "")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Keys]:
    house = Keys(tmp_path)
    yield house
    house.close()


def rows(house: Keys) -> int:
    (changes,) = house.store.read.connection.execute("SELECT count(*) FROM resources").fetchone()
    return int(changes)


# Encryption


def test_encrypt_and_decrypt(house: Keys) -> None:
    key = house.new_key()
    before = rows(house)
    sealed = house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext={"b": "2", "a": "1"})
    assert (sealed["KeyId"], sealed["EncryptionAlgorithm"]) == (key["Arn"], "SYMMETRIC_DEFAULT")
    assert b"secret" not in sealed["CiphertextBlob"]
    assert house.last.additional_event_data == {"keyMaterialId": key["CurrentKeyMaterialId"]}
    assert (house.last.input or {})["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    for name in ({}, {"KeyId": key["KeyId"]}, {"KeyId": key["Arn"]}):
        answer = house.kms(
            "Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"a": "1", "b": "2"}, **name
        )
        assert answer == {
            "KeyId": key["Arn"],
            "Plaintext": b"secret",
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyMaterialId": key["CurrentKeyMaterialId"],
        }
        assert house.last.resources == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key["Arn"]}]
    assert rows(house) == before
    again = house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext={"b": "2", "a": "1"})
    assert again["CiphertextBlob"] != sealed["CiphertextBlob"]


def test_the_material_is_sealed_at_rest(house: Keys) -> None:
    key_id = house.new_key()["KeyId"]
    key = house.store.read.get(keys.KEYS, ACCOUNT, "eu-west-1", key_id)
    assert key is not None
    material = keys.material(house.store.read, key, 1, house.sealer)
    assert material is not None
    assert len(material) == 32
    for (body,) in house.store.read.connection.execute("SELECT body FROM resources"):
        assert material not in body


def test_keys_outlive_the_server(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    house = Keys(tmp_path / "data")
    sealed = house.kms("Encrypt", KeyId=house.new_key()["KeyId"], Plaintext=b"x")
    house.close()
    house = Keys(tmp_path / "data")
    assert house.kms("Decrypt", CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"] == b"x"
    house.close()


def test_what_does_not_open(house: Keys) -> None:
    key, other, mac = house.new_key(), house.new_key(), house.hmac()
    blob = house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    right = {"EncryptionContext": {"a": "b"}}
    assert house.refused("Decrypt", CiphertextBlob=blob) == INVALID
    assert house.refused("Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "c"}) == INVALID
    assert house.refused("Decrypt", CiphertextBlob=blob + b"\0", **right) == INVALID
    assert house.refused("Decrypt", CiphertextBlob=b"foreign", **right) == INVALID
    assert house.refused("Decrypt", CiphertextBlob=b"\2" + blob[1:], **right) == INVALID
    for place in range(len(blob)):
        changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        # Bytes 1 to 24 name the account and the key: no such key, then.
        expected = DENIED if 1 <= place < 25 else INVALID
        found = house.refused("Decrypt", CiphertextBlob=changed, **right)
        assert found == expected or (place < 9 and found == INVALID), place
    assert house.refused("Decrypt", CiphertextBlob=blob, KeyId=other["KeyId"], **right) == (
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )
    assert house.refused("Decrypt", CiphertextBlob=blob, KeyId=mac["KeyId"], **right) == (
        "InvalidKeyUsageException",
        f"{mac['Arn']} key usage is GENERATE_VERIFY_MAC which is not valid for Decrypt.",
    )
    house.region = "us-east-1"
    assert house.refused("Decrypt", CiphertextBlob=blob, **right) == DENIED


def test_the_plaintext_has_four_kilobytes(house: Keys) -> None:
    key = house.new_key()["KeyId"]
    blob = house.kms("Encrypt", KeyId=key, Plaintext=bytes(4096))["CiphertextBlob"]
    assert len(blob) <= 6144
    assert house.kms("Decrypt", CiphertextBlob=blob)["Plaintext"] == bytes(4096)
    for plaintext in (b"", bytes(4097)):
        code, message = house.refused("Encrypt", KeyId=key, Plaintext=plaintext)
        assert code == "ValidationException"
        assert "at 'plaintext' failed to satisfy constraint: Member must have length" in message


def test_keys_and_algorithms_that_do_not_encrypt(house: Keys) -> None:
    mac, key = house.hmac(), house.new_key()
    encrypting: dict[str, dict[str, Any]] = {
        "Encrypt": {"Plaintext": b"x"},
        "GenerateDataKey": {"KeySpec": "AES_256"},
        "GenerateDataKeyWithoutPlaintext": {"NumberOfBytes": 1},
    }
    for operation, parameters in encrypting.items():
        assert house.refused(operation, KeyId=mac["KeyId"], **parameters) == (
            "InvalidKeyUsageException",
            f"{mac['Arn']} key usage is GENERATE_VERIFY_MAC which is not valid for {operation}.",
        )
    assert house.refused("Encrypt", KeyId=key["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_1") == (
        "InvalidKeyUsageException",
        "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.",
    )


def test_re_encrypt(house: Keys) -> None:
    one, two = house.new_key(), house.new_key()
    blob = house.kms("Encrypt", KeyId=one["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    answer = house.kms(
        "ReEncrypt",
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=two["KeyId"],
        DestinationEncryptionContext={"c": "d"},
    )
    new = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": one["Arn"],
        "KeyId": two["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": one["CurrentKeyMaterialId"],
        "DestinationKeyMaterialId": two["CurrentKeyMaterialId"],
    }
    assert {entry["ARN"] for entry in house.last.resources} == {one["Arn"], two["Arn"]}
    opened = house.kms("Decrypt", CiphertextBlob=new, EncryptionContext={"c": "d"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"x", two["Arn"])
    wrong = {"CiphertextBlob": blob, "DestinationKeyId": two["KeyId"]}
    assert house.refused("ReEncrypt", **wrong) == INVALID
    assert house.refused("ReEncrypt", **wrong, SourceKeyId=two["KeyId"])[0] == "IncorrectKeyException"


@pytest.mark.parametrize(
    ("asked", "size"), [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1024}, 1024)]
)
def test_data_keys(house: Keys, asked: dict[str, Any], size: int) -> None:
    key = house.new_key()
    context = {"EncryptionContext": {"a": "b"}}
    answer = house.kms("GenerateDataKey", KeyId=key["KeyId"], **asked, **context)
    assert len(answer["Plaintext"]) == size
    opened = house.kms("Decrypt", CiphertextBlob=answer["CiphertextBlob"], **context)
    assert opened["Plaintext"] == answer["Plaintext"]
    assert (answer["KeyId"], answer["KeyMaterialId"]) == (key["Arn"], key["CurrentKeyMaterialId"])
    hidden = house.kms("GenerateDataKeyWithoutPlaintext", KeyId=key["KeyId"], **asked)
    assert "Plaintext" not in hidden
    assert len(house.kms("Decrypt", CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == size


def test_data_keys_need_one_size(house: Keys) -> None:
    key = house.new_key()["KeyId"]
    expected = ("ValidationException", "Please specify either number of bytes or key spec.")
    assert house.refused("GenerateDataKey", KeyId=key) == expected
    assert house.refused("GenerateDataKey", KeyId=key, KeySpec="AES_256", NumberOfBytes=3) == expected


def test_random_bytes(house: Keys) -> None:
    one, two = (house.kms("GenerateRandom", NumberOfBytes=1024)["Plaintext"] for _ in range(2))
    assert len(one) == 1024
    assert one != two
    assert house.refused("GenerateRandom")[0] == "ValidationException"
    assert house.refused("GenerateRandom", NumberOfBytes=1025)[0] == "ValidationException"
    assert house.refused("GenerateRandom", NumberOfBytes=1, CustomKeyStoreId="c")[0] == "UnsupportedOperationException"


@settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plaintext=st.binary(min_size=1, max_size=300),
    context=st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4),
    other=st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4),
)
def test_only_the_same_context_opens(
    house: Keys, plaintext: bytes, context: dict[str, str], other: dict[str, str]
) -> None:
    house.kms("DescribeKey", KeyId="alias/aws/ebs")
    sealed = house.kms("Encrypt", KeyId="alias/aws/ebs", Plaintext=plaintext, EncryptionContext=context)
    blob = {"CiphertextBlob": sealed["CiphertextBlob"]}
    assert house.kms("Decrypt", **blob, EncryptionContext=context)["Plaintext"] == plaintext
    if other != context:
        assert house.refused("Decrypt", **blob, EncryptionContext=other) == INVALID


# Codes


@pytest.mark.parametrize("size", [224, 256, 384, 512])
def test_codes_are_hmacs(house: Keys, size: int) -> None:
    made = house.hmac(size)
    asked = {"KeyId": made["KeyId"], "Message": b"m", "MacAlgorithm": f"HMAC_SHA_{size}"}
    answer = house.kms("GenerateMac", **asked)
    key = house.store.read.get(keys.KEYS, ACCOUNT, "eu-west-1", made["KeyId"])
    assert key is not None
    material = keys.material(house.store.read, key, 1, house.sealer)
    assert material is not None
    assert answer == {
        "Mac": hmac.digest(material, b"m", getattr(hashlib, f"sha{size}")),
        "MacAlgorithm": f"HMAC_SHA_{size}",
        "KeyId": made["Arn"],
    }
    verified = house.kms("VerifyMac", **asked, Mac=answer["Mac"])
    assert verified == {"KeyId": made["Arn"], "MacValid": True, "MacAlgorithm": f"HMAC_SHA_{size}"}
    for wrong in ({"Mac": answer["Mac"][:-1]}, {"Mac": b"x" * (size // 8)}, {"Mac": answer["Mac"], "Message": b"n"}):
        assert house.refused("VerifyMac", **{**asked, **wrong}) == ("KMSInvalidMacException", "")


def test_keys_and_algorithms_that_make_no_code(house: Keys) -> None:
    made, key = house.hmac(512), house.new_key()
    asked = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
    assert house.refused("GenerateMac", KeyId=made["KeyId"], **asked) == (
        "InvalidKeyUsageException",
        "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_512.",
    )
    assert house.refused("VerifyMac", KeyId=key["KeyId"], **asked, Mac=b"x") == (
        "InvalidKeyUsageException",
        f"{key['Arn']} key usage is ENCRYPT_DECRYPT which is not valid for VerifyMac.",
    )
    house.kms("DisableKey", KeyId=made["KeyId"])
    found = house.refused("GenerateMac", KeyId=made["KeyId"], Message=b"m", MacAlgorithm="HMAC_SHA_512")
    assert found == ("DisabledException", f"{made['Arn']} is disabled.")


# Dry runs


def test_dry_runs_change_nothing(house: Keys) -> None:
    key, mac = house.new_key()["KeyId"], house.hmac()["KeyId"]
    blob = house.kms("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    code = house.kms("GenerateMac", KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    grant = house.kms("CreateGrant", KeyId=key, GranteePrincipal=ALICE, Operations=["Decrypt"])
    before = rows(house)
    for operation, parameters in {
        "Encrypt": {"KeyId": key, "Plaintext": b"x"},
        "Decrypt": {"CiphertextBlob": blob},
        "ReEncrypt": {"CiphertextBlob": blob, "DestinationKeyId": key},
        "GenerateDataKey": {"KeyId": key, "KeySpec": "AES_256"},
        "GenerateDataKeyWithoutPlaintext": {"KeyId": key, "KeySpec": "AES_256"},
        "GenerateMac": {"KeyId": mac, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"},
        "VerifyMac": {"KeyId": mac, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256", "Mac": code},
        "CreateGrant": {"KeyId": key, "GranteePrincipal": ALICE, "Operations": ["Decrypt"]},
        "RetireGrant": {"GrantToken": grant["GrantToken"]},
        "RevokeGrant": {"KeyId": key, "GrantId": grant["GrantId"]},
    }.items():
        assert house.refused(operation, **parameters, DryRun=True) == DRY, operation
    assert house.refused("Encrypt", KeyId="alias/aws/s3", Plaintext=b"x", DryRun=True) == DRY
    assert rows(house) == before
    assert house.refused("Decrypt", CiphertextBlob=b"foreign", DryRun=True) == INVALID
    ignoring = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    assert house.refused("Decrypt", KeyId=key, **ignoring) == DRY
    assert house.refused("ReEncrypt", SourceKeyId=key, DestinationKeyId=key, **ignoring) == DRY
    assert house.refused("Decrypt", **ignoring)[0] == "ValidationException"
    assert house.refused("Decrypt", KeyId=key)[0] == "ValidationException"


# Grants


def test_a_grants_life(house: Keys) -> None:
    key = house.new_key()
    asked = {
        "KeyId": key["KeyId"],
        "GranteePrincipal": ALICE,
        "RetiringPrincipal": BOB,
        "Operations": ["Decrypt", "DescribeKey"],
        "Constraints": {"EncryptionContextSubset": {"a": "b"}},
        "Name": "n",
    }
    made = house.kms("CreateGrant", **asked)
    shown = {
        "KeyId": key["Arn"],
        "GrantId": made["GrantId"],
        "Name": "n",
        "CreationDate": NOW,
        "GranteePrincipal": ALICE,
        "RetiringPrincipal": BOB,
        "IssuingAccount": f"arn:aws:iam::{ACCOUNT}:root",
        "Operations": ["Decrypt", "DescribeKey"],
        "Constraints": {"EncryptionContextSubset": {"a": "b"}},
    }
    assert house.kms("ListGrants", KeyId=key["KeyId"]) == {"Grants": [shown], "Truncated": False}
    assert house.kms("ListRetirableGrants", RetiringPrincipal=BOB)["Grants"] == [shown]
    assert house.kms("ListRetirableGrants", RetiringPrincipal=ALICE)["Grants"] == []
    # The same grant under the same name is the same grant, with another token.
    again = house.kms("CreateGrant", **{**asked, "Operations": ["DescribeKey", "Decrypt"]})
    assert again["GrantId"] == made["GrantId"]
    assert again["GrantToken"] != made["GrantToken"]
    other = house.kms("CreateGrant", **{**asked, "Operations": ["Decrypt"]})
    assert other["GrantId"] != made["GrantId"]
    unnamed = {name: value for name, value in asked.items() if name != "Name"}
    assert len({house.kms("CreateGrant", **unnamed)["GrantId"] for _ in range(2)}) == 2
    blob = house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"x", GrantTokens=[made["GrantToken"]])
    assert house.refused("Decrypt", CiphertextBlob=blob["CiphertextBlob"], GrantTokens=["x"]) == (
        "InvalidGrantTokenException",
        "Invalid grant token",
    )
    assert house.kms("RetireGrant", GrantToken=again["GrantToken"]) == {}
    assert house.refused("RetireGrant", GrantToken=made["GrantToken"])[0] == "NotFoundException"
    assert house.kms("RevokeGrant", KeyId=key["KeyId"], GrantId=other["GrantId"]) == {}
    assert house.kms("CreateGrant", **asked)["GrantId"] != made["GrantId"]


def test_grants_are_found_by_what_they_say(house: Keys) -> None:
    one, two = house.new_key()["KeyId"], house.new_key()["KeyId"]
    mine = house.kms("CreateGrant", KeyId=one, GranteePrincipal=ALICE, Operations=["Decrypt"])["GrantId"]
    service = house.kms("CreateGrant", KeyId=one, GranteeServicePrincipal="sns.amazonaws.com", Operations=["Decrypt"])[
        "GrantId"
    ]
    house.kms("CreateGrant", KeyId=two, GranteePrincipal=ALICE, Operations=["Decrypt"])

    def found(**parameters: Any) -> list[str]:
        return [grant["GrantId"] for grant in house.kms("ListGrants", KeyId=one, **parameters)["Grants"]]

    assert found() == sorted([mine, service])
    assert found(GranteePrincipal=ALICE) == [mine]
    assert found(GranteeServicePrincipal="sns.amazonaws.com") == [service]
    assert found(GrantId=mine) == [mine]
    assert found(GrantId="0" * 64) == []
    assert house.refused("ListGrants", KeyId=one, GrantId="x")[0] == "InvalidGrantIdException"
    first = house.kms("ListGrants", KeyId=one, Limit=1)
    second = house.kms("ListGrants", KeyId=one, Limit=1, Marker=first["NextMarker"])
    assert [grant["GrantId"] for grant in first["Grants"] + second["Grants"]] == sorted([mine, service])
    assert {grant.id for grant in grants_of(house.store.read, ACCOUNT, "eu-west-1", one)} == {mine, service}


def test_grants_that_cannot_be(house: Keys) -> None:
    key, mac = house.new_key()["KeyId"], house.hmac()["KeyId"]
    good: dict[str, Any] = {"KeyId": key, "GranteePrincipal": ALICE, "Operations": ["Decrypt"]}
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"GranteePrincipal": "alice"}, "InvalidArnException"),
        ({"GranteePrincipal": "arn:aws:iam::1:user/x"}, "InvalidArnException"),
        ({"RetiringPrincipal": "arn:aws:s3:::b"}, "InvalidArnException"),
        ({"GranteeServicePrincipal": "sns.amazonaws.com"}, "ValidationException"),
        ({"Operations": []}, "ValidationException"),
        ({"Operations": ["GenerateMac"]}, "ValidationException"),
        ({"KeyId": mac}, "ValidationException"),
        ({"KeyId": "alias/x"}, "NotFoundException"),
        ({"Name": "n n"}, "ValidationException"),
        ({"Constraints": {"EncryptionContextEquals": {str(n): "" for n in range(9)}}}, "ValidationException"),
        ({"Constraints": {"EncryptionContextEquals": {"a": "b" * 384}}}, "ValidationException"),
        (
            {"KeyId": mac, "Operations": ["VerifyMac"], "Constraints": {"EncryptionContextEquals": {"a": "b"}}},
            "ValidationException",
        ),
        ({"GrantTokens": ["x"]}, "InvalidGrantTokenException"),
    ]
    for wrong, code in refusals:
        assert house.refused("CreateGrant", **{**good, **wrong})[0] == code, wrong
    assert house.refused("CreateGrant", KeyId=key, Operations=["Decrypt"])[0] == "ValidationException"
    made = house.kms("CreateGrant", **good)
    for wrong in ({}, {"KeyId": key}, {"GrantToken": made["GrantToken"], "KeyId": key}):
        assert house.refused("RetireGrant", **wrong)[0] == "ValidationException"
    stranger = root("999999999999")
    assert house.refused("RetireGrant", stranger, GrantToken=made["GrantToken"])[0] == "InvalidGrantTokenException"
    assert house.refused("RevokeGrant", KeyId=key, GrantId="0" * 64) == (
        "NotFoundException",
        f"Grant ID {'0' * 64} not found",
    )
    assert house.refused("RevokeGrant", KeyId=key, GrantId="x")[0] == "InvalidGrantIdException"
    house.kms("RetireGrant", KeyId=key, GrantId=made["GrantId"])


def test_a_key_has_so_many_grants(house: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skytrail.services.kms.grants.GRANTS_PER_KEY", 1)
    good: dict[str, Any] = {"GranteePrincipal": ALICE, "Operations": ["Decrypt"]}
    key, other = house.new_key()["KeyId"], house.new_key()["KeyId"]
    house.kms("CreateGrant", KeyId=key, **good)
    house.kms("CreateGrant", KeyId=other, **good)
    assert house.refused("CreateGrant", KeyId=key, **good)[0] == "LimitExceededException"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_what_a_grant_permits(case: dict[str, Any]) -> None:
    grant = Grant("g", "k", 0.0, tuple(case["operations"]), ALICE, **case.get("grant", {}))
    asked = case["asked"]
    found = permits(
        grant,
        asked["operation"],
        asked.get("grantee", ALICE),
        asked.get("context", {}),
        asked.get("source", ""),
    )
    assert found is case["permitted"]


# Which keys a call is about


def test_the_keys_that_a_call_means(house: Keys) -> None:
    one, two = house.new_key(), house.new_key()
    house.kms("CreateAlias", AliasName="alias/a", TargetKeyId=one["KeyId"])
    blob = house.kms("Encrypt", KeyId="alias/a", Plaintext=b"x")["CiphertextBlob"]
    token = house.kms("CreateGrant", KeyId=two["KeyId"], GranteePrincipal=ALICE, Operations=["Decrypt"])["GrantToken"]
    cases: list[tuple[str, dict[str, Any], list[str]]] = [
        ("Encrypt", {"KeyId": "alias/a"}, [one["Arn"]]),
        ("Encrypt", {"KeyId": two["Arn"]}, [two["Arn"]]),
        ("Encrypt", {"KeyId": "alias/none"}, []),
        ("Decrypt", {"CiphertextBlob": blob}, [one["Arn"]]),
        ("Decrypt", {"CiphertextBlob": blob, "KeyId": two["KeyId"]}, [two["Arn"]]),
        ("Decrypt", {"CiphertextBlob": b"x"}, []),
        ("ReEncrypt", {"CiphertextBlob": blob, "DestinationKeyId": two["KeyId"]}, [one["Arn"], two["Arn"]]),
        ("CreateAlias", {"AliasName": "alias/b", "TargetKeyId": two["KeyId"]}, [two["Arn"]]),
        ("RetireGrant", {"GrantToken": token}, [two["Arn"]]),
        ("RetireGrant", {"GrantToken": "x"}, []),
        ("ListKeys", {}, []),
    ]
    for operation, parameters, expected in cases:
        call = house.call("kms", operation, parameters=parameters)
        named = [demand.resource for demand in demands(call, house.engines) or () if demand.policy]
        assert named == expected, (operation, parameters)
    stranger = house.call("kms", "Decrypt", parameters={"CiphertextBlob": blob}, identity=root("999999999999"))
    (demand,) = demands(stranger, house.engines) or []
    assert (demand.account, demand.resource) == (one["Arn"].split(":")[4], one["Arn"])
