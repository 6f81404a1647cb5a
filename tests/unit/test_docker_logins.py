"""Logins in Docker's file of the account: what is said to a registry, and what is wrong with it."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from cluster.engine import docker_logins
from cluster.engine.base import EngineError
from cluster.engine.docker_api import DockerApi, _Client
from cluster.engine.docker_logins import HUB, HUB_LOGIN, login_of_file, logins_for_build

REGISTRY = "registry.example:5000"
AUTH = base64.b64encode(b"robot:hunter2").decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Docker's file, which is also where programs are found."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def write(home: Path, config: Any) -> None:
    """Docker's file."""
    (home / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))


def helper(home: Path, script: str, name: str = "vault") -> None:
    """A helper that is asked for logins."""
    program = home / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def said(header: str) -> dict[str, str]:
    """What a header has for the daemon."""
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(header)) if header else {}
    return {key.lower(): value for key, value in found.items() if value is not None}


def answer(user: str, secret: str) -> str:
    """A helper that has this login for whatever it is asked for, which it notes."""
    text = json.dumps({"ServerURL": "x", "Username": user, "Secret": secret})
    return f"cat > $0.asked; echo '{text}'"


@pytest.mark.parametrize("config", [
    None, "", "{", {}, {"auths": {}}, {"auths": {"other.example": {"auth": AUTH}}},
    {"auths": {REGISTRY: {}}}, {"proxies": {"default": {}}},
])
def test_without_a_login_nothing_is_said(home: Path, config: Any) -> None:
    """The registry may give the image to everybody."""
    if config is not None:
        write(home, config)
    assert login_of_file(REGISTRY) == ""


@pytest.mark.parametrize("entry", [{"auth": AUTH}, {"identitytoken": "hunter2"}])
def test_a_login_in_the_file(home: Path, entry: dict[str, str]) -> None:
    """By name and password, or by a token."""
    write(home, {"auths": {REGISTRY: entry}})
    assert "hunter2" in said(login_of_file(REGISTRY)).values()


@pytest.mark.parametrize("keys", [
    {"credsStore": "vault"}, {"credHelpers": {REGISTRY: "vault", HUB_LOGIN: "vault"}},
    {"credsStore": "missing", "credHelpers": {REGISTRY: "vault", HUB_LOGIN: "vault"}},
])
def test_a_helper_is_asked(home: Path, keys: Any) -> None:
    """For the very registry; the hub has a name of its own."""
    write(home, keys)
    helper(home, answer("robot", "hunter2"))
    assert said(login_of_file(REGISTRY)) == {
        "username": "robot", "password": "hunter2", "serveraddress": REGISTRY}
    assert said(login_of_file(HUB))["serveraddress"] == HUB_LOGIN
    assert (home / "docker-credential-vault.asked").read_text() == HUB_LOGIN
    helper(home, answer("<token>", "hunter2"))
    assert said(login_of_file(REGISTRY)) == {
        "identitytoken": "hunter2", "serveraddress": REGISTRY}


@pytest.mark.parametrize("script", [
    "echo credentials not found in native keychain; exit 1", answer("", ""),
])
def test_what_a_helper_does_not_have_may_be_in_the_file(home: Path, script: str) -> None:
    """Or the registry is asked without a login."""
    write(home, {"credsStore": "vault", "auths": {REGISTRY: {"auth": AUTH}}})
    helper(home, script)
    assert said(login_of_file(REGISTRY))["password"] == "hunter2"
    assert login_of_file("other.example") == ""


@pytest.mark.parametrize(("config", "script", "why"), [
    ({"credsStore": "absent"}, "", "docker-credential-absent is not installed here"),
    ({"credsStore": "vault"}, "echo the vault is sealed; exit 1", "failed: the vault is sealed"),
    ({"credsStore": "vault"}, "echo hunter2", "gave no readable answer"),
    ({"credsStore": "vault"}, "echo '[]'", "gave no readable answer"),
    ({"credsStore": "vault"}, "sleep 30", "did not end in 0.2 s"),
    ({"auths": {REGISTRY: {"auth": "hunter2!"}}}, "", ""),
    ({"auths": {REGISTRY: {"auth": 7}}}, "", ""), ({"auths": {REGISTRY: 7}}, "", ""),
    ({"credHelpers": 7}, "", ""), ([], "", ""),
])
def test_a_login_that_cannot_be_had_is_told_as_such(
    home: Path, monkeypatch: pytest.MonkeyPatch, config: Any, script: str, why: str
) -> None:
    """With the file, the reason and the remedy, and without what might be a password."""
    monkeypatch.setattr(docker_logins, "HELPER_S", 0.2)
    write(home, config)
    helper(home, script)
    with pytest.raises(EngineError, match="cannot be read") as caught:
        login_of_file(REGISTRY)
    reason = caught.value.reason
    assert (caught.value.fault, caught.value.silent) == ("unauthorized", False)
    assert str(home / "config.json") in reason
    assert f"orchestry registry login {REGISTRY}" in reason
    assert why in reason
    assert "hunter2" not in reason


@pytest.mark.parametrize("config", [
    {"auths": {REGISTRY: {"auth": "!"}}}, {"auths": {REGISTRY: 7}}, {REGISTRY: {"auth": "!"}}, [],
    {"credHelpers": 7}, {"credsStore": "absent"}, "{",
])
def test_a_bad_file_costs_no_call_that_needs_no_login(home: Path, config: Any) -> None:
    """Docker is asked all the same, and of a daemon that is down just that is told."""
    write(home, config)
    client = _Client(base_url="unix:///nowhere", version="1.41")
    assert client.base_url == "http+docker://localhost"
    client.close()
    with pytest.raises(EngineError, match="Docker does not answer: No such file"):
        DockerApi("unix:///nowhere", 1.0).call("ping")
    assert set(logins_for_build().auths) >= {""}


def test_a_build_has_the_logins_of_the_file_and_its_helpers(home: Path) -> None:
    """Those of registries that the file names, and that of the hub."""
    write(home, {"auths": {REGISTRY: {"auth": AUTH}}, "credsStore": "vault",
                 "credHelpers": {"other.example": "absent"}})
    helper(home, answer("robot", "hunter3"))
    assert logins_for_build().auths[REGISTRY]["password"] == "hunter2"
    write(home, {"credsStore": "vault"})
    assert logins_for_build().auths[HUB_LOGIN]["password"] == "hunter3"
