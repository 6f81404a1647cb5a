"""Settings: read, check and name every setting of a controller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cluster.config import readers
from cluster.config.complete import complete
from orchestry import units
from orchestry.manifest import ManifestError, load_documents

LEASE_TTL_S = (0.5, 60.0)
FILE_BYTES_MAX = 1024**2
RATE_LIMIT_MAX = 1_000_000_000

_PREFIXES = ("ORCHESTRY_", "CLUSTER_", "CONTROLLER_", "INGRESS_", "RATE_LIMIT_")
# Variables with our prefix that belong to the command line and the ingress, not to a controller.
_OTHERS = frozenset({
    "ORCHESTRY_URL", "ORCHESTRY_TOKEN", "ORCHESTRY_CA", "ORCHESTRY_JOIN_TOKEN",
    "INGRESS_ADMIN_TOKEN", "INGRESS_BASE_IMAGE",
})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct: which setting, where it was read, and what is right."""

    name: str
    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.name} ({self.source}): {self.message}"


class SettingsError(Exception):
    """Settings that cannot be used; `problems` holds all of them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `--print-config`; the value of a secret is masked."""

    name: str
    value: str
    source: str
    doc: str


def _setting(
    name: str, read: Callable[[str], Any], default: Any, doc: str, *, secret: bool = False
) -> Any:
    about = {"name": name, "read": read, "default": default, "doc": doc, "secret": secret}
    return field(default_factory=lambda: default, metadata=about, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of one controller; `sources` tells where each came from.

    `raft_addresses` maps every controller's id, this one's included, to `host:port`. `auth_on`
    is what follows from `auth`: whether the API asks for tokens. `docker_open` is whether the
    daemon is reached over a network without TLS.
    """

    host: str = _setting(
        "ORCHESTRY_HOST", readers.host, "127.0.0.1",
        "Address that the HTTP API listens on; 0.0.0.0 for all.")
    port: int = _setting("ORCHESTRY_PORT", readers.port, 8000, "Port of the HTTP API.")
    streams_max: int = _setting(
        "ORCHESTRY_STREAMS_MAX", readers.whole(0, 10_000), 1500,
        "Streams (logs, metrics, events) that this controller serves at once; one more is"
        " refused with 503.")
    origins: tuple[str, ...] = _setting(
        "ORCHESTRY_ORIGINS", readers.origins, (),
        "Other sites whose pages may act and listen through a browser, separated by commas, as"
        " https://ops.example.org.")
    auth: Literal["on", "off", "auto"] = _setting(
        "ORCHESTRY_AUTH", readers.one_of("on", "off", "auto"), "auto",
        "on: the API asks for tokens; off: it does not; auto: it does unless every address of"
        " the cluster is loopback.")
    bootstrap_token: str = _setting(
        "ORCHESTRY_BOOTSTRAP_TOKEN", readers.text, "",
        "The first admin token, at least 32 characters; without it the leader makes one, in the"
        " file bootstrap-token of its data folder.",
        secret=True)
    bootstrap_token_file: str = _setting(
        "ORCHESTRY_BOOTSTRAP_TOKEN_FILE", readers.text, "",
        "File that holds the first admin token.")
    tls_cert: str = _setting(
        "ORCHESTRY_TLS_CERT", readers.path, "",
        "File in PEM with this controller's certificate and those between it and its CA; the API"
        " then speaks HTTPS only.")
    tls_key: str = _setting(
        "ORCHESTRY_TLS_KEY", readers.path, "", "File in PEM with the key of that certificate.")
    tls_ca: str = _setting(
        "ORCHESTRY_TLS_CA", readers.path, "",
        "File in PEM with the CAs by which controllers know one another; by default those of the"
        " system.")
    tls_ca_key: str = _setting(
        "ORCHESTRY_TLS_CA_KEY", readers.path, "",
        "File in PEM with the key of the cluster's own CA: this controller then renews its"
        " certificate, and signs those of controllers with a join token.")
    tls_client_ca: str = _setting(
        "ORCHESTRY_TLS_CLIENT_CA", readers.path, "",
        "File in PEM with CAs: clients of the API then need a certificate of one of them, or of"
        " ORCHESTRY_TLS_CA.")
    drill: Literal["on", "off"] = _setting(
        "ORCHESTRY_DRILL", readers.one_of("on", "off"), "off",
        "on: an admin may let this controller fail on purpose, for `orchestry cluster drill`.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "ORCHESTRY_LOG_LEVEL", readers.log_level, "info", "debug, info, warning or error.")
    data_dir: Path = _setting(  # noqa: RUF009 - a field, as all of them
        "ORCHESTRY_DATA_DIR", readers.folder, readers.folder("orchestry-data"),
        "Folder of the journal and the snapshots; one per controller.")
    engine: Literal["docker", "fake"] = _setting(
        "ORCHESTRY_ENGINE", readers.one_of("docker", "fake"), "docker",
        "Container engine; fake starts nothing and is for tests.")
    node_id: str = _setting(
        "CONTROLLER_NODE_ID", readers.node_id, "controller-1",
        "Id of this controller, unique in the cluster.")
    api_url: str = _setting(
        "CONTROLLER_API_URL", readers.http_url, "",
        "Where clients reach this controller; by default http://host:port of the API, with"
        " ORCHESTRY_TLS_CERT https://host:port.")
    mode: Literal["cluster", "single"] = _setting(
        "CLUSTER_MODE", readers.one_of("cluster", "single"), "",
        "cluster or single; by default single when there are no peers.")
    peers: Mapping[str, str] = _setting(
        "CLUSTER_PEERS", readers.peers, MappingProxyType({}),
        "Controllers as id=host:raft_port, separated by commas; may include this one.")
    joins: bool = _setting(
        "CLUSTER_JOIN", readers.flag, False,
        "true: this new controller was added to a running cluster, and waits for its members.")
    adopt: str = _setting(
        "CLUSTER_ADOPT", readers.cluster_id, "",
        "Id of a lost cluster, for a restore that takes over its containers; empty folders only.")
    secret: str = _setting(
        "CLUSTER_SECRET", readers.text, "",
        "Shared secret of the controllers; mandatory unless every address is loopback.",
        secret=True)
    secret_file: str = _setting(
        "CLUSTER_SECRET_FILE", readers.text, "", "File that holds the shared secret.")
    secrets_keys: tuple[bytes, ...] = _setting(
        "ORCHESTRY_SECRETS_KEY", readers.secrets_keys, (),
        "Keys under which the secrets of applications are kept, separated by commas, each of 32"
        " bytes in hexadecimal or base64; the first seals, all open. The same for all controllers.",
        secret=True)
    secrets_key_file: str = _setting(
        "ORCHESTRY_SECRETS_KEY_FILE", readers.text, "",
        "File that holds those keys, separated by commas or line ends.")
    cluster_tls: Literal["off", "both", "on"] = _setting(
        "CLUSTER_TLS", readers.one_of("off", "both", "on"), "off",
        "on: controllers talk to one another over mutual TLS only; both: with or without, to"
        " switch one controller after the other; off: without.")
    raft_port: int = _setting(
        "CLUSTER_RAFT_PORT", readers.port, 9000,
        "Port for the other controllers; by default the one in CLUSTER_PEERS, else 9000.")
    lease_ttl_s: float = _setting(
        "CLUSTER_LEASE_TTL", readers.seconds(*LEASE_TTL_S), 1.5,
        "Seconds for which the leader may act without a renewal; more than 0.6.")
    durability: Literal["fsync", "os"] = _setting(
        "CLUSTER_DURABILITY", readers.one_of("fsync", "os"), "fsync",
        "fsync: a write is on disk before it is acknowledged; os: left to the system.")
    min_memory_bytes: int = _setting(
        "CLUSTER_LIMITS_MIN_MEMORY", readers.memory, 64 * 1024**2,
        "Lowest spec.resources.memory that an application may ask for; at least 4Mi.")
    docker_host: str = _setting(
        "DOCKER_HOST", readers.docker_host, "", "Docker daemon; by default its local socket.")
    docker_tls_ca: str = _setting(
        "DOCKER_TLS_CA", readers.path, "",
        "File in PEM with the CA of a Docker daemon at tcp://host:port, which is then asked over"
        " TLS and has to show a certificate for that host.")
    docker_tls_cert: str = _setting(
        "DOCKER_TLS_CERT", readers.path, "",
        "File in PEM with the certificate that this controller shows to that daemon.")
    docker_tls_key: str = _setting(
        "DOCKER_TLS_KEY", readers.path, "", "File in PEM with the key of that certificate.")
    docker_cert_path: str = _setting(
        "DOCKER_CERT_PATH", readers.path, "",
        "Folder with ca.pem, cert.pem and key.pem, for those of the three that are not set.")
    docker_insecure: bool = _setting(
        "DOCKER_INSECURE", readers.flag, False,
        "true: a Docker daemon of another machine may be asked without TLS.")
    docker_network: str = _setting(
        "DOCKER_NETWORK", readers.docker_network, "",
        "Bridge network of the applications; by default one per cluster.")
    docker_subnet: str = _setting(
        "DOCKER_SUBNET", readers.subnet, "",
        "Address range of that network, such as 10.88.0.0/16; by default Docker chooses.")
    docker_timeout_s: float = _setting(
        "DOCKER_TIMEOUT", readers.seconds(1, 600), 10.0,
        "Seconds for one call to the Docker daemon.")
    database_url: str = _setting(
        "DATABASE_URL", readers.postgres_url, "",
        "PostgreSQL for the history, as postgresql://user:password@host:port/database; without"
        " it each controller has its own only.",
        secret=True)
    postgres_host: str = _setting(
        "POSTGRES_HOST", readers.host, "", "Host of that PostgreSQL, instead of DATABASE_URL.")
    postgres_port: int = _setting("POSTGRES_PORT", readers.port, 5432, "Its port.")
    postgres_db: str = _setting("POSTGRES_DB", readers.text, "orchestry", "Its database.")
    postgres_user: str = _setting("POSTGRES_USER", readers.text, "orchestry", "Its user.")
    postgres_password: str = _setting(
        "POSTGRES_PASSWORD", readers.text, "", "The password of that user.", secret=True)
    postgres_pool_size: int = _setting(
        "POSTGRES_POOL_SIZE", readers.whole(1, 100), 4,
        "Connections of one controller to PostgreSQL at most.")
    history_max_bytes: int = _setting(
        "HISTORY_MAX_SIZE", readers.memory, 1024**3,
        "Size of a controller's own history file; beyond it the oldest goes; at least 4Mi.")
    redis_url: str = _setting(
        "REDIS_URL", readers.redis_url, "",
        "Redis in which all controllers count requests, as redis://user:password@host:port/0,"
        " rediss:// or unix:///path; without it each counts for itself.",
        secret=True)
    rate_limit_per_hour: int = _setting(
        "RATE_LIMIT_PER_HOUR", readers.whole(0, RATE_LIMIT_MAX), 1000,
        "Requests of one client to the API in an hour; 0 for any number.")
    rate_limit_per_minute: int = _setting(
        "RATE_LIMIT_PER_MINUTE", readers.whole(0, RATE_LIMIT_MAX), 100,
        "Requests of one client to the API in a minute; 0 for any number.")
    rate_limit_trusted_proxies: tuple[str, ...] = _setting(
        "RATE_LIMIT_TRUSTED_PROXIES", readers.networks, (),
        "Addresses and networks of proxies whose X-Forwarded-For is believed, separated by commas.")
    scaling_interval_s: float = _setting(
        "SCALING_INTERVAL", readers.seconds(0.5, 60.0), 2.0,
        "Seconds between two measurements of all applications, each with a decision.")
    ingress_port: int = _setting(
        "INGRESS_PORT", readers.port, 8080, "Port on which the ingress serves the applications.")
    ingress_certs: str = _setting(
        "INGRESS_CERTS", readers.path, "",
        "Folder with certificates of applications' hosts as NAME.crt and NAME.key in PEM; all"
        " controllers need the same.")
    ingress_tls_port: int = _setting(
        "INGRESS_TLS_PORT", readers.port, 443,
        "Port at which clients reach the ingress over HTTPS; redirects go there.")
    ingress_redirect: bool = _setting(
        "INGRESS_HTTPS_REDIRECT", readers.flag, False,
        "true: requests in the clear for a host with a certificate are sent to HTTPS.")
    ingress_hsts_s: int = _setting(
        "INGRESS_HSTS", readers.whole(0, 63_072_000), 0,
        "Seconds for which browsers shall use HTTPS only for a host that they reached over it;"
        " 0: they are not told.")
    ingress_domain: str = _setting(
        "INGRESS_DOMAIN", readers.domain, "localhost",
        "An application without hosts is reachable as its name under this domain.")
    ingress_admin: tuple[str, ...] = _setting(
        "INGRESS_ADMIN", readers.endpoints, (),
        "Admin endpoints of the ingresses, separated by commas: unix:/path or"
        " http://[token@]host:port.")
    raft_addresses: Mapping[str, str]
    auth_on: bool
    docker_open: bool
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Definition:
    """What is known about one setting before it is read."""

    attribute: str
    name: str
    read: Callable[[str], Any]
    default: Any
    doc: str
    secret: bool


DEFINITIONS: tuple[Definition, ...] = tuple(
    Definition(f.name, f.metadata["name"], f.metadata["read"], f.metadata["default"],
               f.metadata["doc"], f.metadata["secret"])
    for f in fields(Settings) if f.metadata
)


def load(environ: Mapping[str, str], config_path: Path | None = None) -> Settings:
    """The settings: environment first, file second, defaults last.

    An empty environment variable counts as not set.

    Raises:
        SettingsError: with every fault at once.
    """
    problems: list[Problem] = []
    in_file = _read_file(config_path, problems) if config_path is not None else {}
    known = {definition.name for definition in DEFINITIONS}
    problems += _unknown(environ, in_file, known, config_path)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for definition in DEFINITIONS:
        if environ.get(definition.name):
            text, source = environ[definition.name], "environment"
        elif definition.name in in_file:
            text, source = in_file[definition.name], str(config_path)
        else:
            values[definition.attribute] = definition.default
            sources[definition.name] = "default"
            continue
        sources[definition.name] = source
        try:
            values[definition.attribute] = definition.read(text)
        except ValueError as error:
            values[definition.attribute] = definition.default
            message = f"is not what it should be: {definition.doc}" if definition.secret else (
                str(error))
            problems.append(Problem(definition.name, source, message))
    complete(values, sources, lambda name, message: problems.append(
        Problem(name, sources[name], message)))
    if problems:
        raise SettingsError(tuple(problems))
    return Settings(**values, sources=MappingProxyType(sources))


def describe(settings: Settings) -> tuple[Row, ...]:
    """Every setting with its value and source, secrets masked."""
    rows = []
    for definition in DEFINITIONS:
        value = getattr(settings, definition.attribute)
        shown = "********" if definition.secret and value else _shown(definition, value)
        rows.append(Row(definition.name, shown, settings.sources[definition.name], definition.doc))
    return tuple(rows)


def shown_default(definition: Definition) -> str:
    """The default of a setting as its page shows it; a folder is relative to where one starts."""
    if isinstance(definition.default, Path):
        return definition.default.name
    return _shown(definition, definition.default)


def _shown(definition: Definition, value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={part}" for name, part in value.items())
    if isinstance(value, tuple):
        return ",".join(readers.without_token(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    if definition.read is readers.memory:
        return units.format_memory(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read_file(path: Path, problems: list[Problem]) -> dict[str, str]:
    source = str(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
            return {}
        documents = load_documents(text)
    except (OSError, UnicodeDecodeError, ManifestError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(Problem("--config", source, f"cannot be read: {reason}"))
        return {}
    document = documents[0]
    if len(documents) > 1 or not isinstance(document, dict):
        problems.append(Problem("--config", source, "must hold one mapping of NAME: value"))
        return {}
    found = {}
    for name, value in document.items():
        items = value if isinstance(value, list) else [value]
        if not items or not all(type(item) in (str, int, float) for item in items):
            problems.append(Problem(str(name), source, "must be text, a number or a list of texts"))
        else:
            found[str(name)] = ",".join(str(item) for item in items)
    return found


def _unknown(
    environ: Mapping[str, str], in_file: Mapping[str, str], known: set[str], path: Path | None
) -> list[Problem]:
    ours = {name for name in environ if name.startswith(_PREFIXES)} - _OTHERS
    remedy = "is not a setting; `orchestry node --print-config` lists all"
    return [
        *(Problem(name, "environment", remedy) for name in sorted(ours - known)),
        *(Problem(name, str(path), remedy) for name in sorted(set(in_file) - known)),
    ]
