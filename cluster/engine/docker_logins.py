"""Logins of registries in Docker's file of the account, and of the helpers that it names.

They are read for each pull anew, and for nothing else: a file that cannot be read, or a helper that
is not there, costs no other call.
"""

from __future__ import annotations

import base64
import json
import logging
import shutil
import subprocess
from typing import Any

import docker.auth
import docker.errors
import docker.utils.config

from cluster.engine.base import EngineError

logger = logging.getLogger(__name__)

HUB = "docker.io"
HUB_LOGIN = "https://index.docker.io/v1/"
"""Under this name the daemon and the helpers look for the login of the hub."""
HELPER_S = 10.0
_PREFIX = "docker-credential-"
_NO_ENTRY = "credentials not found"
"""What helpers say on their output of a registry that they have no login of."""
_IS_TOKEN = "<token>"  # noqa: S105  # the name that helpers give to what is no password
_UNREADABLE = (
    docker.errors.DockerException, OSError, ValueError, TypeError, KeyError, AttributeError)


def header_of(login: dict[str, Any]) -> str:
    """A login as the daemon takes it."""
    return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()


def login_of_file(registry: str) -> str:
    """The header that the account's file has for a registry; "" without one.

    Raises:
        EngineError: `unauthorized`, with what is wrong with the file or its helper.
    """
    server = HUB_LOGIN if registry == HUB else registry
    try:
        logins = docker.auth.load_config()
        found = _of_helper(logins, server) or docker.auth.AuthConfig(
            {"auths": logins.auths}).resolve_authconfig(registry)
        return header_of(found) if found else ""
    except _UNREADABLE as error:
        raise _wrong(registry, str(error) or type(error).__name__) from None


def logins_for_build() -> Any:
    """Those of the file, for whatever a build is based on; what cannot be read is left out."""
    found: dict[str, Any] = {"": {}}  # never empty: the package would read the file again
    try:
        logins = docker.auth.load_config()
        found |= logins.auths
        for server in (*logins.cred_helpers, *([HUB_LOGIN] if logins.creds_store else [])):
            found |= {server: _of_helper(logins, server) or {}}
    except _UNREADABLE as error:
        logger.warning("a build goes without the logins of Docker's file: %s", error)
    return docker.auth.AuthConfig({"auths": found})


def _of_helper(logins: Any, server: str) -> dict[str, str] | None:
    name = logins.cred_helpers.get(server) or logins.creds_store
    return _ask(str(name), server) if name else None


def _ask(name: str, server: str) -> dict[str, str] | None:
    """What a helper has for a registry."""
    program = shutil.which(_PREFIX + name)
    if program is None:
        raise ValueError(f"its helper {_PREFIX}{name} is not installed here")
    try:
        done = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=HELPER_S,
            check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"its helper {_PREFIX}{name} did not end in {HELPER_S:g} s") from None
    if done.returncode:
        said = (done.stdout or done.stderr).decode(errors="replace").strip()
        if _NO_ENTRY in said.lower():
            return None
        raise ValueError(f"its helper {_PREFIX}{name} failed: {said[:200]}")
    try:
        login = json.loads(done.stdout)
        user, secret = login["Username"], login["Secret"]
    except (ValueError, TypeError, KeyError):  # what it wrote may be a password
        raise ValueError(f"its helper {_PREFIX}{name} gave no readable answer") from None
    if user == _IS_TOKEN:
        return {"identitytoken": secret, "serveraddress": server}
    return {"username": user, "password": secret, "serveraddress": server} if user else None


def _wrong(registry: str, why: str) -> EngineError:
    path = docker.utils.config.find_config_file() or "Docker's file"
    return EngineError("unauthorized", (
        f"the login of registry {registry} cannot be read from {path} on this controller's host: "
        f"{' '.join(why.split())[:200]}; correct that file, or give the cluster a login with "
        f"`orchestry registry login {registry}`"))
