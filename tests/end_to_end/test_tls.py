"""HTTPS: a client that trusts the certificate's authority calls, and the record says how."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from botocore.exceptions import SSLError

from skytrail.testing import Server

from .kit import client, investigated, skytrail


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(folder / "certificate.pem", append=number > 0)
    arguments = ["--tls-certificate", str(folder / "certificate.pem"), "--tls-key", str(folder / "key.pem")]
    with Server(arguments=arguments, data=folder / "data") as server:
        yield server


def trusted(server: Server) -> str:
    return str(server.data.parent / "authority.pem")


def test_a_record_says_how_the_call_was_protected(server: Server) -> None:
    assert server.endpoint.startswith("https://127.0.0.1:")
    answer = client(server, "sts", verify=trusted(server)).get_caller_identity()
    (record,) = investigated(server, "--where", f"requestID={answer['ResponseMetadata']['RequestId']}")
    tls = record["tlsDetails"]
    assert set(tls) == {"tlsVersion", "cipherSuite", "clientProvidedHostHeader"}
    assert tls["tlsVersion"] == "TLSv1.3"
    assert tls["cipherSuite"] in {cipher["name"] for cipher in ssl.create_default_context().get_ciphers()}
    assert tls["clientProvidedHostHeader"] == f"127.0.0.1:{server.port}"


def test_a_client_that_does_not_trust_the_certificate_makes_no_call(server: Server) -> None:
    before = len(investigated(server))
    with pytest.raises(SSLError):
        client(server, "sts").get_caller_identity()
    assert len(investigated(server)) == before


def test_the_operator_is_not_told_to_have_used_tls(server: Server, tmp_path: Path) -> None:
    assert skytrail("keys", "create", "--data", str(server.data)).returncode == 0
    (record,) = investigated(server, "--name", "CreateAccessKey")
    assert "tlsDetails" not in record


def test_a_plain_record_has_no_tls_details(skytrail_server: Server) -> None:
    answer = client(skytrail_server, "sts").get_caller_identity()
    (record,) = investigated(skytrail_server, "--where", f"requestID={answer['ResponseMetadata']['RequestId']}")
    assert "tlsDetails" not in record


def test_a_stop_does_not_wait_for_idle_clients(server: Server, tmp_path: Path) -> None:
    pem = server.data.parent
    arguments = ["--tls-certificate", str(pem / "certificate.pem"), "--tls-key", str(pem / "key.pem")]
    with Server(arguments=arguments, environment={"SKYTRAIL_SERVER_DRAIN_SECONDS": "600"}) as patient:
        sts = client(patient, "sts", verify=trusted(server))
        sts.get_caller_identity()
        assert patient.stop() == 0
