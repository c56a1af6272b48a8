from __future__ import annotations

from pathlib import Path

import pytest

from skytrail.errors import SettingsError
from skytrail.settings import load


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "skytrail.toml"
    file.write_text('[server]\nport = 1\nregion = "eu-west-1"\naccount = "111111111111"\n')
    settings = load(
        file=file,
        environ={"SKYTRAIL_SERVER_PORT": "2", "SKYTRAIL_SERVER_ACCOUNT": "222222222222"},
        overrides={"server.account": "333333333333", "server.region": None},
    )
    assert (settings.server.port, settings.server.region, settings.server.account) == (2, "eu-west-1", "333333333333")


def test_lists_come_from_the_environment_separated_by_commas() -> None:
    assert load(environ={"SKYTRAIL_SERVER_TRUSTED_PROXIES": "10.0.0.1,10.0.0.2"}).server.trusted_proxies == (
        "10.0.0.1",
        "10.0.0.2",
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"server.host": "0.0.0.0"}, "accepts any credentials"),
        ({"server.mode": "closed"}, "mode"),
        ({"server.port": "many"}, "port"),
        ({"server.account": "12"}, "12 digits"),
        ({"server.port": "99999"}, "server.port is 0 to 65535, not 99999"),
        ({"server.region": "mars"}, "server.region"),
        ({"server.tls_key": "key.pem"}, "needs both"),
        ({"storage.durability": "maybe"}, "durability"),
    ],
)
def test_a_wrong_setting_is_a_clear_error(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(environ={}, overrides=overrides)


def test_an_unknown_setting_in_the_environment_is_refused() -> None:
    with pytest.raises(SettingsError, match="SKYTRAIL_SERVER_PROT names no setting"):
        load(environ={"SKYTRAIL_SERVER_PROT": "1"})
    assert load(environ={"SKYTRAIL_ELSEWHERE": "1"})


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "skytrail.toml"
    file.write_text("[server]\nprot = 1\n")
    with pytest.raises(SettingsError, match="prot"):
        load(file=file, environ={})


def test_open_mode_listens_elsewhere_only_when_told_so_and_enforced_mode_may() -> None:
    assert load(environ={}, overrides={"server.host": "0.0.0.0", "server.allow_remote_open": True})
    assert load(environ={}, overrides={"server.host": "0.0.0.0", "server.mode": "enforced"})
