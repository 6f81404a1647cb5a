"""Settings that follow from others, and what must fit together."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from cluster.config import readers

RAFT_TIMEOUT_MAX_S = 0.6
SECRET_BYTES_MIN = 8
_TOKEN = re.compile(r"[\x21-\x7e]{32,256}")

Wrong = Callable[[str, str], None]


def complete(values: dict[str, Any], sources: dict[str, str], wrong: Wrong) -> None:
    """Fill in what follows from other settings, and check what must fit together.

    `wrong` is told the name of a setting and what is right.
    """
    node, peers = values["node_id"], values["peers"]
    if not values["api_url"]:
        host = values["host"]
        host = socket.gethostname() if host in ("0.0.0.0", "[::]") else host  # noqa: S104
        scheme = "https" if values["tls_cert"] else "http"
        values["api_url"] = f"{scheme}://{host}:{values['port']}"
    if not values["mode"]:
        values["mode"] = "cluster" if set(peers) - {node} else "single"
    elif values["mode"] == "cluster" and not set(peers) - {node}:
        wrong("CLUSTER_MODE", "cluster needs other controllers in CLUSTER_PEERS")
    elif values["mode"] == "single" and set(peers) - {node}:
        wrong("CLUSTER_MODE", "single does not go with other controllers in CLUSTER_PEERS")
    if node in peers:
        own = int(peers[node].rpartition(":")[2])
        if sources["CLUSTER_RAFT_PORT"] == "default":
            values["raft_port"], sources["CLUSTER_RAFT_PORT"] = own, sources["CLUSTER_PEERS"]
        elif values["raft_port"] != own:
            wrong("CLUSTER_RAFT_PORT", f"differs from {own}, this node's port in CLUSTER_PEERS")
    if values["mode"] == "single":
        own_host = "127.0.0.1"
    else:
        own_host = values["api_url"].rpartition("://")[2].rpartition(":")[0]
    addresses = {node: f"{own_host}:{values['raft_port']}", **peers}
    if len(set(addresses.values())) < len(addresses):
        wrong("CLUSTER_PEERS", f"another controller has this node's address {addresses[node]}")
    values["raft_addresses"] = MappingProxyType(addresses)
    if values["port"] == values["raft_port"]:
        wrong("CLUSTER_RAFT_PORT", f"must differ from ORCHESTRY_PORT {values['port']}")
    if values["lease_ttl_s"] <= RAFT_TIMEOUT_MAX_S:
        wrong("CLUSTER_LEASE_TTL", f"must be more than the Raft timeout, {RAFT_TIMEOUT_MAX_S} s")
    _secret(values, wrong)
    _secrets(values, wrong)
    _tls(values, wrong)
    _access(values, wrong)
    _database(values, wrong)
    _docker(values, wrong)


def _docker(values: dict[str, Any], wrong: Wrong) -> None:
    """TLS to a daemon behind a network; who reaches one without it is root on its host."""
    scheme, _, address = values["docker_host"].partition("://")
    folder, parts = values["docker_cert_path"], {"ca": "ca.pem", "cert": "cert.pem",
                                                 "key": "key.pem"}
    for part, name in parts.items():
        if folder and not values[f"docker_tls_{part}"]:
            values[f"docker_tls_{part}"] = str(Path(folder) / name)
    given = [part for part in parts if values[f"docker_tls_{part}"]]
    values["docker_open"] = False
    if scheme not in ("tcp", "http", "https"):
        return
    if not given and scheme != "https":
        far = not readers.is_loopback(address.rpartition(":")[0])
        values["docker_open"] = far
        if far and not values["docker_insecure"]:
            wrong("DOCKER_HOST", "whoever reaches Docker at it without TLS is root there: set "
                  "DOCKER_TLS_CA, DOCKER_TLS_CERT and DOCKER_TLS_KEY, or DOCKER_INSECURE=true")
        return
    if scheme == "http":
        wrong("DOCKER_HOST", "must begin with tcp://, since DOCKER_TLS_CA or its like is set")
    if "ca" not in given:
        wrong("DOCKER_TLS_CA", "is needed, to know the daemon of DOCKER_HOST by")
    if ("cert" in given) != ("key" in given):
        missing, there = ("KEY", "CERT") if "cert" in given else ("CERT", "KEY")
        wrong(f"DOCKER_TLS_{missing}", f"is needed with DOCKER_TLS_{there}")
    for part in given:
        path = values[f"docker_tls_{part}"]
        if not os.access(path, os.R_OK):
            wrong(f"DOCKER_TLS_{part.upper()}", f"{path} cannot be read")


def _tls(values: dict[str, Any], wrong: Wrong) -> None:
    cert, key = values["tls_cert"], values["tls_key"]
    if bool(cert) != bool(key):
        missing, there = ("KEY", "CERT") if cert else ("CERT", "KEY")
        wrong(f"ORCHESTRY_TLS_{missing}", f"is needed with ORCHESTRY_TLS_{there}")
    if cert and not values["api_url"].startswith("https://"):
        wrong("CONTROLLER_API_URL", "must begin with https://, since ORCHESTRY_TLS_CERT is set")
    if values["tls_ca_key"] and not (cert and key and values["tls_ca"]):
        wrong("ORCHESTRY_TLS_CA_KEY",
              "needs ORCHESTRY_TLS_CERT, ORCHESTRY_TLS_KEY and ORCHESTRY_TLS_CA")
    if values["tls_client_ca"] and not cert:
        wrong("ORCHESTRY_TLS_CLIENT_CA", "needs ORCHESTRY_TLS_CERT and ORCHESTRY_TLS_KEY")
    if values["cluster_tls"] != "off" and not (cert and key and values["tls_ca"]):
        wrong("CLUSTER_TLS", f"{values['cluster_tls']} needs ORCHESTRY_TLS_CERT,"
              " ORCHESTRY_TLS_KEY and ORCHESTRY_TLS_CA")


def _access(values: dict[str, Any], wrong: Wrong) -> None:
    hosts = [values["host"].strip("[]"), *(
        address.rpartition(":")[0].strip("[]") for address in values["raft_addresses"].values())]
    far = not all(readers.is_loopback(host) for host in hosts)
    values["auth_on"] = values["auth"] == "on" or (values["auth"] == "auto" and far)
    if values["auth"] == "on" and values["mode"] == "cluster" and not values["secret"]:
        wrong("ORCHESTRY_AUTH", "on needs CLUSTER_SECRET, by which controllers know one another")
    if values["bootstrap_token_file"]:
        if values["bootstrap_token"]:
            wrong("ORCHESTRY_BOOTSTRAP_TOKEN",
                  "excludes ORCHESTRY_BOOTSTRAP_TOKEN_FILE; set one of the two")
        values["bootstrap_token"] = _content(
            "ORCHESTRY_BOOTSTRAP_TOKEN_FILE", values["bootstrap_token_file"], wrong)
    if values["bootstrap_token"] and _TOKEN.fullmatch(values["bootstrap_token"]) is None:
        wrong("ORCHESTRY_BOOTSTRAP_TOKEN_FILE" if values["bootstrap_token_file"]
              else "ORCHESTRY_BOOTSTRAP_TOKEN",
              "must be 32 to 256 visible ASCII characters, such as from `openssl rand -hex 32`")


def _content(name: str, path: str, wrong: Wrong) -> str:
    """What a file holds without the space around it; "" when that is nothing."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        wrong(name, f"{path} cannot be read: {reason}")
        return ""
    if not text:
        wrong(name, f"{path} is empty")
    return text


def _database(values: dict[str, Any], wrong: Wrong) -> None:
    if not values["postgres_host"]:
        return
    if values["database_url"]:
        wrong("DATABASE_URL", "excludes POSTGRES_HOST; set one of the two")
    keys = ("postgres_user", "postgres_password", "postgres_db")
    user, password, name = (quote(values[key], safe="") for key in keys)
    values["database_url"] = (
        f"postgresql://{user}{f':{password}' if password else ''}@{values['postgres_host']}"
        f":{values['postgres_port']}/{name}")


def _secrets(values: dict[str, Any], wrong: Wrong) -> None:
    path, name = values["secrets_key_file"], "ORCHESTRY_SECRETS_KEY_FILE"
    if not path:
        return
    if values["secrets_keys"]:
        wrong("ORCHESTRY_SECRETS_KEY", f"excludes {name}; set one of the two")
        return
    text = _content(name, path, wrong)
    if text:
        try:
            values["secrets_keys"] = readers.secrets_keys(text)
        except ValueError as error:
            wrong(name, str(error))


def _secret(values: dict[str, Any], wrong: Wrong) -> None:
    if values["secret"] and values["secret_file"]:
        wrong("CLUSTER_SECRET", "excludes CLUSTER_SECRET_FILE; set one of the two")
        return
    name = "CLUSTER_SECRET"
    if values["secret_file"]:
        name = "CLUSTER_SECRET_FILE"
        values["secret"] = _content(name, values["secret_file"], wrong)
        if not values["secret"]:
            return
    if values["secret"] and len(values["secret"].encode()) < SECRET_BYTES_MIN:
        wrong(name, f"must have at least {SECRET_BYTES_MIN} characters")
    hosts = [address.rpartition(":")[0] for address in values["raft_addresses"].values()]
    if not values["secret"] and not all(readers.is_loopback(host) for host in hosts):
        wrong(name, "is mandatory because an address of the cluster is not loopback; "
                    "give all controllers the same secret")
