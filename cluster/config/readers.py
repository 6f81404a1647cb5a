"""Readers: text of one setting -> its value, or ValueError that says what is right."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from orchestry import units

MIN_MEMORY_FLOOR_BYTES = 4 * 1024**2
PEERS_MAX = 9
PROXIES_MAX = 64
KEY_BYTES = 32
KEYS_MAX = 8

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NODE_ID = re.compile(r"[a-z0-9-]{1,63}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]+\]")


def text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain control characters")
    return value


def folder(value: str) -> Path:
    return Path(text(value)).absolute()


def path(value: str) -> str:
    """A file, as an absolute path."""
    return str(Path(text(value)).absolute())


def host(value: str) -> str:
    if _HOST.fullmatch(value) is None:
        raise ValueError(f"{value!r} is not a host name or an IP address")
    return value


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not (value.isascii() and value.isdigit() and lowest <= int(value) <= highest):
            raise ValueError(f"{value!r} is not a whole number from {lowest} to {highest}")
        return int(value)

    return read


port = whole(1, 65535)


def seconds(lowest: float, highest: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        plain = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value)
        if plain is None or not lowest <= float(value) <= highest:
            raise ValueError(f"{value!r} is not a number of seconds from {lowest:g} to {highest:g}")
        return float(value)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return read


def flag(value: str) -> bool:
    """true or false."""
    lowered = value.lower()
    if lowered not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return lowered == "true"


def cluster_id(value: str) -> str:
    if re.fullmatch(r"[0-9a-f]{32}", value) is None:
        raise ValueError(f"{value!r} is not the id of a cluster, 32 hexadecimal digits")
    return value


def secrets_keys(value: str) -> tuple[bytes, ...]:
    """Keys of 32 bytes each, the one that seals first."""
    found = tuple(map(_key, filter(None, re.split(r"[,\s]+", value))))
    if not 1 <= len(found) <= KEYS_MAX or len(set(found)) < len(found):
        raise ValueError(f"must be 1-{KEYS_MAX} keys, each another")
    return found


def _key(value: str) -> bytes:
    try:
        found = bytes.fromhex(value) if len(value) == 2 * KEY_BYTES else base64.b64decode(
            value.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise ValueError(
            f"each key must be {KEY_BYTES} bytes in hexadecimal or base64, such as from"
            " `openssl rand -hex 32`")
    return found


def log_level(value: str) -> str:
    return one_of("debug", "info", "warning", "error")(value.lower())


def node_id(value: str) -> str:
    if _NODE_ID.fullmatch(value) is None:
        raise ValueError(f"{value!r} must be 1-63 characters of a-z, 0-9 and -")
    return value


def domain(value: str) -> str:
    label = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    if len(value) > 190 or re.fullmatch(rf"{label}(?:\.{label})*", value) is None:
        raise ValueError(f"{value!r} is not a lower-case domain such as apps.example.org")
    return value


def http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        has_port = parts.port is not None
    except ValueError:
        parts, has_port = urlsplit(""), False
    # urlsplit drops line ends in silence, and this value becomes a Location header.
    plain = value.isascii() and value.isprintable() and " " not in value
    plain = plain and parts.scheme in ("http", "https") and parts.path in ("", "/") and has_port
    if not plain or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{value!r} must look like http://host:port")
    if _HOST.fullmatch(parts.netloc.rpartition(":")[0]) is None:
        raise ValueError(f"{value!r} has no usable host; it must look like http://host:port")
    return value.rstrip("/")


def docker_host(value: str) -> str:
    if not value.startswith(("unix://", "tcp://", "http://", "https://", "ssh://")):
        raise ValueError(f"{value!r} must look like unix:///var/run/docker.sock or tcp://host:port")
    return value


def docker_network(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", value) is None:
        raise ValueError(f"{value!r} must be 1-63 characters of A-Z, a-z, 0-9, _, . and -")
    return value


def subnet(value: str) -> str:
    """An IPv4 range as CIDR with room for a few containers."""
    try:
        found = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} must be an IPv4 range such as 10.88.0.0/16") from error
    if not 8 <= found.prefixlen <= 28:
        raise ValueError(f"{value!r} must be a range of /8 to /28")
    return str(found)


def endpoints(value: str) -> tuple[str, ...]:
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            if not re.fullmatch(r"unix:/[^\s,]+", part):
                http_url(re.sub(r"//[A-Za-z0-9]+@", "//", part))
        except ValueError:
            raise ValueError(
                f"{without_token(part)!r} must look like unix:/path/to.sock or"
                " http://[token@]host:port"
            ) from None
        found.append(part.rstrip("/"))
    return tuple(found)


def without_token(endpoint: str) -> str:
    """An endpoint as it may be shown."""
    return re.sub(r"//[^/@]*@", "//********@", endpoint)


def peers(value: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        peer, equals, address = part.partition("=")
        name, colon, number = address.rpartition(":")
        if not (equals and colon and _HOST.fullmatch(name)):
            raise ValueError(f"{part!r} must look like id=host:raft_port")
        node_id(peer)
        port(number)
        if peer in found:
            raise ValueError(f"the id {peer!r} appears twice")
        if address in found.values():
            raise ValueError(f"the address {address!r} appears twice")
        found[peer] = address
    if len(found) > PEERS_MAX:
        raise ValueError(f"at most {PEERS_MAX} controllers")
    return MappingProxyType(found)


def memory(value: str) -> int:
    amount = units.parse_memory(value)
    if amount < MIN_MEMORY_FLOOR_BYTES:
        raise ValueError(f"{value!r} is below {units.format_memory(MIN_MEMORY_FLOOR_BYTES)}")
    return amount


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def postgres_url(value: str) -> str:
    """A postgresql:// URL with a host or a socket folder, and a database."""
    parts = urlsplit(text(value))
    try:
        right = parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1
        right = right and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right:
        raise ValueError("must be postgresql://user:password@host:port/database")
    return value


def origins(value: str) -> tuple[str, ...]:
    """Origins of web pages, separated by commas."""
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    for part in found:
        if not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", part):
            raise ValueError(f"{part!r} must look like https://ops.example.org, in lower case")
    return found


def networks(value: str) -> tuple[str, ...]:
    """Addresses and networks, separated by commas."""
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            found.append(str(ipaddress.ip_network(part)))
        except ValueError as error:
            raise ValueError(
                f"{part!r} is neither an IP address nor a network such as 10.0.0.0/8") from error
    if len(found) > PROXIES_MAX:
        raise ValueError(f"at most {PROXIES_MAX} addresses and networks")
    return tuple(found)


# Of what a Redis URL may ask for; the client's waits and pools are not the user's to set.
_REDIS_OPTIONS = frozenset({
    "db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname",
})


def redis_url(value: str) -> str:
    """A URL of a Redis server."""
    parts = urlsplit(text(value))
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = options.get("db") or parts.path.strip("/") or "0"
    try:
        right = parts.port is None or parts.port > 0
    except ValueError:
        right = False
    if parts.scheme == "unix":
        right = right and len(parts.path) > 1 and options.get("db", "0").isdecimal()
    else:
        right = right and parts.scheme in ("redis", "rediss") and bool(parts.hostname)
        right = right and database.isascii() and database.isdecimal()
    if not right or not options.keys() <= _REDIS_OPTIONS:
        raise ValueError("must be redis://user:password@host:port/0, rediss:// or unix:///path")
    return value
