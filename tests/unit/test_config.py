"""Settings: precedence, sources, and every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster import config
from cluster.config import readers

THREE = "a=127.0.0.1:9001,b=127.0.0.1:9002,c=127.0.0.1:9003"
FAR = "a=10.0.0.1:9001,b=10.0.0.2:9001"
SECRET = "correct horse battery"


def faults(environ: Mapping[str, str], path: Path | None = None) -> dict[str, str]:
    """Setting -> message of every problem."""
    with pytest.raises(config.SettingsError) as caught:
        config.load(environ, path)
    return {problem.name: problem.message for problem in caught.value.problems}


def written(tmp_path: Path, text: str) -> Path:
    """A settings file."""
    path = tmp_path / "orchestry.yaml"
    path.write_text(text)
    return path


def test_defaults_run_one_node() -> None:
    """Without any setting there is one node on loopback, with durable writes."""
    settings = config.load({})
    assert (settings.mode, settings.host, settings.port) == ("single", "127.0.0.1", 8000)
    assert settings.api_url == "http://127.0.0.1:8000"
    assert settings.durability == "fsync"
    assert settings.engine == "docker"
    assert settings.data_dir.is_absolute()
    assert dict(settings.raft_addresses) == {"controller-1": "127.0.0.1:9000"}
    assert set(settings.sources.values()) == {"default"}


def test_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """Each value comes from the first place that has it, and says which."""
    path = written(tmp_path, "ORCHESTRY_PORT: 8001\nINGRESS_PORT: 9090\nCLUSTER_LEASE_TTL: 3.5\n")
    settings = config.load({"ORCHESTRY_PORT": "8002", "INGRESS_PORT": ""}, path)
    assert (settings.port, settings.ingress_port, settings.lease_ttl_s) == (8002, 9090, 3.5)
    sources = {row.name: row.source for row in config.describe(settings)}
    assert sources["ORCHESTRY_PORT"] == "environment"
    assert sources["INGRESS_PORT"] == sources["CLUSTER_LEASE_TTL"] == str(path)
    assert sources["ORCHESTRY_HOST"] == "default"


GOOD = {
    "ORCHESTRY_HOST": "0.0.0.0", "ORCHESTRY_PORT": "8001", "ORCHESTRY_LOG_LEVEL": "DEBUG",
    "ORCHESTRY_DRILL": "on", "ORCHESTRY_STREAMS_MAX": "10", "ORCHESTRY_ORIGINS": "https://ops.example.org",
    "ORCHESTRY_AUTH": "on", "ORCHESTRY_BOOTSTRAP_TOKEN": "0123456789abcdef" * 2,
    "ORCHESTRY_TLS_CERT": "/etc/a.crt", "ORCHESTRY_TLS_KEY": "/etc/a.key",
    "ORCHESTRY_TLS_CA": "/etc/ca.crt", "ORCHESTRY_TLS_CLIENT_CA": "/etc/people.crt",
    "ORCHESTRY_TLS_CA_KEY": "/etc/ca.key",
    "ORCHESTRY_SECRETS_KEY": "ab" * 32 + ", " + "Q0dDQ0dDQ0dDQ0dDQ0dDQ0dDQ0dDQ0dDQ0dDQ0dDQ0c=",
    "CLUSTER_TLS": "both", "ORCHESTRY_DATA_DIR": "/srv/data",
    "ORCHESTRY_ENGINE": "fake", "CONTROLLER_NODE_ID": "a",
    "CONTROLLER_API_URL": "https://a.example:8001/", "CLUSTER_MODE": "cluster",
    "CLUSTER_PEERS": FAR, "CLUSTER_SECRET": SECRET, "CLUSTER_RAFT_PORT": "9001",
    "CLUSTER_JOIN": "true", "CLUSTER_ADOPT": "0123456789abcdef" * 2, "CLUSTER_LEASE_TTL": "5",
    "CLUSTER_DURABILITY": "os", "CLUSTER_LIMITS_MIN_MEMORY": "4Mi",
    "DOCKER_HOST": "unix:///run/docker.sock", "DOCKER_TLS_CA": "/etc/d/ca.pem",
    "DOCKER_TLS_CERT": "/etc/d/cert.pem", "DOCKER_TLS_KEY": "/etc/d/key.pem",
    "DOCKER_CERT_PATH": "/etc/docker", "DOCKER_INSECURE": "true", "DOCKER_NETWORK": "apps",
    "DOCKER_SUBNET": "10.88.0.0/16", "DOCKER_TIMEOUT": "2.5", "SCALING_INTERVAL": "5",
    "INGRESS_PORT": "80", "INGRESS_DOMAIN": "apps.example.org",
    "INGRESS_CERTS": "/etc/certs", "INGRESS_TLS_PORT": "8443", "INGRESS_HTTPS_REDIRECT": "true",
    "INGRESS_HSTS": "600",
    "DATABASE_URL": "postgresql://me:s3cret@db.example/orchestry",
    "POSTGRES_PORT": "5433", "POSTGRES_DB": "history",
    "POSTGRES_USER": "me", "POSTGRES_PASSWORD": "s3cret", "POSTGRES_POOL_SIZE": "9",
    "HISTORY_MAX_SIZE": "64Mi",
    "REDIS_URL": "rediss://me:s3cret@redis.example:6380/2", "RATE_LIMIT_PER_HOUR": "0",
    "RATE_LIMIT_PER_MINUTE": "50", "RATE_LIMIT_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
    "INGRESS_ADMIN": "unix:/run/i.sock, http://s3cret@10.0.0.9:7000",
}


def test_every_setting_can_be_set_and_is_shown() -> None:
    """All settings are read from the environment and shown, secrets masked."""
    settings = config.load(GOOD)
    assert settings.api_url == "https://a.example:8001"
    assert settings.log_level == "debug"
    assert settings.min_memory_bytes == 4 * 1024**2
    assert settings.ingress_admin == ("unix:/run/i.sock", "http://s3cret@10.0.0.9:7000")
    assert settings.secret == SECRET
    assert settings.secrets_keys[0] == b"\xab" * 32
    assert len(settings.secrets_keys) == 2
    rows = {row.name: row for row in config.describe(settings)}
    assert set(rows) == {definition.name for definition in config.DEFINITIONS}
    assert set(rows) == set(GOOD) | {
        "CLUSTER_SECRET_FILE", "POSTGRES_HOST", "ORCHESTRY_BOOTSTRAP_TOKEN_FILE",
        "ORCHESTRY_SECRETS_KEY_FILE"}
    assert {rows[name].source for name in GOOD} == {"environment"}
    assert rows["CLUSTER_LIMITS_MIN_MEMORY"].value == "4Mi"
    assert rows["CLUSTER_SECRET"].value == "********"
    assert all(row.doc for row in rows.values())
    shown = " ".join(row.value for row in rows.values()) + repr(settings)
    assert SECRET not in shown
    assert "abab" not in shown
    assert "s3cret" not in " ".join(row.value for row in rows.values())


@pytest.mark.parametrize("value", [
    "short", "ab" * 31, "zz" * 32, "ab" * 32 + "," + "ab" * 32, "Q0dD!0dD", ", ,",
    ",".join(f"{n:02x}" * 32 for n in range(9))])
def test_keys_of_secrets_that_cannot_be(value: str, tmp_path: Path) -> None:
    """Each must be 32 bytes, another than the others; the value itself is not told."""
    found = faults({"ORCHESTRY_SECRETS_KEY": value})
    assert set(found) == {"ORCHESTRY_SECRETS_KEY"}
    assert value not in found["ORCHESTRY_SECRETS_KEY"]
    file = tmp_path / "keys"
    file.write_text(value)
    found = faults({"ORCHESTRY_SECRETS_KEY_FILE": str(file)})
    assert set(found) == {"ORCHESTRY_SECRETS_KEY_FILE"}
    assert value not in found["ORCHESTRY_SECRETS_KEY_FILE"]


@pytest.mark.parametrize("host", ["tcp://10.0.0.9:2375", "http://docker.example:2375"])
def test_docker_of_another_machine_needs_tls(host: str) -> None:
    """Without it the controller does not start, unless it is told that this is well."""
    assert "is root there" in faults({"DOCKER_HOST": host})["DOCKER_HOST"]
    told = config.load({"DOCKER_HOST": host, "DOCKER_INSECURE": "true"})
    assert told.docker_open
    for near in ("unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:2375", ""):
        assert not config.load({"DOCKER_HOST": near}).docker_open


def test_files_for_tls_to_docker(tmp_path: Path) -> None:
    """One by one or as a folder; what is missing is named, and what cannot be read."""
    host = {"DOCKER_HOST": "tcp://10.0.0.9:2376"}
    for name in ("ca.pem", "cert.pem", "key.pem", "own.pem"):
        (tmp_path / name).write_text("x")
    found = config.load(host | {
        "DOCKER_CERT_PATH": str(tmp_path), "DOCKER_TLS_CA": str(tmp_path / "own.pem")})
    assert not found.docker_open
    assert (found.docker_tls_ca, found.docker_tls_cert, found.docker_tls_key) == tuple(
        str(tmp_path / name) for name in ("own.pem", "cert.pem", "key.pem"))
    good = str(tmp_path / "ca.pem")
    for given, name, said in (
        ({"DOCKER_TLS_CERT": good, "DOCKER_TLS_KEY": good}, "DOCKER_TLS_CA", "to know the daemon"),
        ({"DOCKER_TLS_CA": good, "DOCKER_TLS_CERT": good}, "DOCKER_TLS_KEY", "is needed with"),
        ({"DOCKER_TLS_CA": f"{good}.not"}, "DOCKER_TLS_CA", "cannot be read"),
        ({"DOCKER_TLS_CA": good, "DOCKER_HOST": "http://10.0.0.9:1"}, "DOCKER_HOST", "tcp://"),
        ({"DOCKER_HOST": "https://10.0.0.9:1"}, "DOCKER_TLS_CA", "to know the daemon"),
    ):
        assert said in faults(host | given)[name]


def test_keys_of_secrets_from_a_file(tmp_path: Path) -> None:
    """One a line, the one that seals first; not together with the variable."""
    file = tmp_path / "keys"
    file.write_text(f"{'ab' * 32}\n{'cd' * 32}\n")
    settings = config.load({"ORCHESTRY_SECRETS_KEY_FILE": str(file)})
    assert settings.secrets_keys == (b"\xab" * 32, b"\xcd" * 32)
    both = {"ORCHESTRY_SECRETS_KEY": "ab" * 32, "ORCHESTRY_SECRETS_KEY_FILE": str(file)}
    assert "excludes" in faults(both)["ORCHESTRY_SECRETS_KEY"]


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("ORCHESTRY_PORT", "0", "from 1 to 65535"),
        ("ORCHESTRY_PORT", "65536", "from 1 to 65535"),
        ("ORCHESTRY_PORT", "８０", "from 1 to 65535"),
        ("ORCHESTRY_PORT", "80.5", "from 1 to 65535"),
        ("ORCHESTRY_HOST", "a b", "host name"),
        ("ORCHESTRY_LOG_LEVEL", "loud", "one of debug"),
        ("ORCHESTRY_ENGINE", "podman", "one of docker, fake"),
        ("ORCHESTRY_DATA_DIR", "a\nb", "control characters"),
        ("CONTROLLER_NODE_ID", "Node_1", "a-z, 0-9 and -"),
        ("CONTROLLER_NODE_ID", "a" * 64, "1-63 characters"),
        ("CONTROLLER_API_URL", "ftp://a:1", "http://host:port"),
        ("CONTROLLER_API_URL", "http://a", "http://host:port"),
        ("CONTROLLER_API_URL", "http://a:99999", "http://host:port"),
        ("CONTROLLER_API_URL", "http://a:1/path", "http://host:port"),
        ("CONTROLLER_API_URL", "http://u:p@a:1", "http://host:port"),
        ("CONTROLLER_API_URL", "http://a\r\nX:1", "http://host:port"),
        ("CLUSTER_MODE", "swarm", "one of cluster, single"),
        ("CLUSTER_PEERS", "a", "id=host:raft_port"),
        ("CLUSTER_PEERS", "a=10.0.0.1", "id=host:raft_port"),
        ("CLUSTER_PEERS", "a=127.0.0.1:1,a=127.0.0.1:2", "appears twice"),
        ("CLUSTER_PEERS", "a=127.0.0.1:1,b=127.0.0.1:1", "appears twice"),
        ("CLUSTER_PEERS", ",".join(f"n{i}=127.0.0.1:{9000 + i}" for i in range(10)), "at most 9"),
        ("CLUSTER_RAFT_PORT", "-1", "from 1 to 65535"),
        ("CLUSTER_LEASE_TTL", "0.4", "from 0.5 to 60"),
        ("CLUSTER_LEASE_TTL", "nan", "from 0.5 to 60"),
        ("CLUSTER_LEASE_TTL", "0.6", "more than the Raft timeout"),
        ("CLUSTER_DURABILITY", "yes", "one of fsync, os"),
        ("CLUSTER_LIMITS_MIN_MEMORY", "1Mi", "below 4Mi"),
        ("CLUSTER_LIMITS_MIN_MEMORY", "much", ""),
        ("DOCKER_HOST", "/var/run/docker.sock", "unix:///"),
        ("DOCKER_NETWORK", "-x", "1-63 characters"),
        ("DOCKER_SUBNET", "10.88.0.1/16", "IPv4 range"),
        ("DOCKER_SUBNET", "10.88.0.0/30", "/8 to /28"),
        ("DOCKER_TIMEOUT", "0", "from 1 to 600"),
        ("INGRESS_DOMAIN", "Apps.example", "lower-case domain"),
        ("INGRESS_ADMIN", "/run/i.sock", "unix:/path"),
        ("INGRESS_POTR", "80", "is not a setting"),
        ("CONTROLLER_ID", "a", "is not a setting"),
        ("DATABASE_URL", "mysql://me:s3cret@db/x", "postgresql://"),
        ("DATABASE_URL", "postgresql://db:port/x", "postgresql://"),
        ("DATABASE_URL", "postgresql://db", "postgresql://"),
        ("POSTGRES_POOL_SIZE", "0", "from 1 to 100"),
        ("HISTORY_MAX_SIZE", "1Mi", "below 4Mi"),
        ("REDIS_URL", "http://me:s3cret@redis:6379", "redis://"),
        ("REDIS_URL", "redis://:6379", "redis://"),
        ("REDIS_URL", "redis://redis:port", "redis://"),
        ("REDIS_URL", "redis://redis/first", "redis://"),
        ("REDIS_URL", "redis://redis/0?socket_timeout=60", "redis://"),
        ("REDIS_URL", "unix://", "redis://"),
        ("RATE_LIMIT_PER_HOUR", "-1", "from 0 to"),
        ("RATE_LIMIT_PER_MINUTE", "many", "from 0 to"),
        ("RATE_LIMIT_PER_SECOND", "1", "is not a setting"),
        ("RATE_LIMIT_TRUSTED_PROXIES", "10.0.0.1/8", "network such as"),
        ("RATE_LIMIT_TRUSTED_PROXIES", "proxy", "network such as"),
        ("RATE_LIMIT_TRUSTED_PROXIES", ",".join(f"10.0.0.{n}" for n in range(65)), "at most 64"),
        ("CLUSTER_SECRET", "short", "at least 8"),
        ("CLUSTER_SECRET_FILE", "/nonexistent/secret", "cannot be read"),
    ],
)
def test_wrong_values_name_setting_and_remedy(name: str, value: str, part: str) -> None:
    """A wrong value is one problem that names the setting and says what is right."""
    found = faults({name: value})
    assert list(found) == [name]
    assert part in found[name]


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Environment and file are judged together; each problem says where it was read."""
    path = written(tmp_path, "ORCHESTRY_PROT: 1\nINGRESS_PORT: none\nDOCKER_TIMEOUT: true\n")
    environ = {"ORCHESTRY_PORT": "x", "CLUSTER_FOO": "1"}
    with pytest.raises(config.SettingsError) as caught:
        config.load(environ, path)
    assert {(problem.name, problem.source) for problem in caught.value.problems} == {
        ("ORCHESTRY_PORT", "environment"), ("CLUSTER_FOO", "environment"),
        ("ORCHESTRY_PROT", str(path)), ("INGRESS_PORT", str(path)), ("DOCKER_TIMEOUT", str(path)),
    }
    assert all(problem.name in str(caught.value) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- a\n", "one mapping"), ("a: 1\n---\nb: 2\n", "one mapping"), ("a: [\n", "line"),
        ("ORCHESTRY_PORT: 1\nORCHESTRY_PORT: 2\n", "twice"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, part: str) -> None:
    """A file of another form is a problem of --config, with the reason."""
    assert part in faults({}, written(tmp_path, text))["--config"]


def test_missing_and_empty_files(tmp_path: Path) -> None:
    """A file that is not there is a problem; one of comments alone is not."""
    assert "No such file" in faults({}, tmp_path / "none.yaml")["--config"]
    empty = written(tmp_path, "# ORCHESTRY_PORT: 1\n\n")
    assert config.load({}, empty).port == 8000


def test_lists_in_a_file(tmp_path: Path) -> None:
    """What the environment separates by commas may be a YAML list."""
    path = written(tmp_path, "CONTROLLER_NODE_ID: a\nCLUSTER_PEERS:\n- a=127.0.0.1:9001\n"
                             "- b=127.0.0.1:9002\n")
    assert set(config.load({}, path).raft_addresses) == {"a", "b"}


@pytest.mark.parametrize("peers", [THREE, "b=127.0.0.1:9002,c=127.0.0.1:9003"])
def test_peers_may_or_may_not_include_this_node(peers: str) -> None:
    """Both forms give the same addresses."""
    settings = config.load({
        "CONTROLLER_NODE_ID": "a", "CLUSTER_PEERS": peers, "CLUSTER_RAFT_PORT": "9001"})
    assert settings.mode == "cluster"
    assert dict(settings.raft_addresses) == {
        "a": "127.0.0.1:9001", "b": "127.0.0.1:9002", "c": "127.0.0.1:9003"}


def test_raft_port_comes_from_the_peers() -> None:
    """This node's port in CLUSTER_PEERS is its Raft port; another one contradicts it."""
    environ = {"CONTROLLER_NODE_ID": "b", "CLUSTER_PEERS": THREE}
    assert config.load(environ).raft_port == 9002
    assert "differs from 9002" in faults(environ | {"CLUSTER_RAFT_PORT": "9009"})[
        "CLUSTER_RAFT_PORT"]


def test_contradictions() -> None:
    """Mode, ports and addresses must fit together."""
    assert "needs other controllers" in faults({"CLUSTER_MODE": "cluster"})["CLUSTER_MODE"]
    single = faults({"CLUSTER_MODE": "single", "CLUSTER_PEERS": THREE, "CONTROLLER_NODE_ID": "a"})
    assert "does not go with" in single["CLUSTER_MODE"]
    same = faults({"ORCHESTRY_PORT": "9000"})
    assert "must differ from ORCHESTRY_PORT" in same["CLUSTER_RAFT_PORT"]
    taken = faults({"CONTROLLER_NODE_ID": "x", "CLUSTER_PEERS": "a=127.0.0.1:9000"})
    assert "this node's address" in taken["CLUSTER_PEERS"]


def test_certificates_need_their_keys_and_https() -> None:
    """A certificate without its key, http:// beside one, and TLS of Raft without a CA."""
    pair = {"ORCHESTRY_TLS_CERT": "/a.crt", "ORCHESTRY_TLS_KEY": "/a.key"}
    assert config.load(pair).api_url == "https://127.0.0.1:8000"
    assert "ORCHESTRY_TLS_KEY" in faults({"ORCHESTRY_TLS_CERT": "/a.crt"})
    assert "ORCHESTRY_TLS_CERT" in faults({"ORCHESTRY_TLS_KEY": "/a.key"})
    assert "https://" in faults({**pair, "CONTROLLER_API_URL": "http://a:1"})["CONTROLLER_API_URL"]
    assert "ORCHESTRY_TLS_CA" in faults({**pair, "CLUSTER_TLS": "on"})["CLUSTER_TLS"]
    assert "both" in faults({"CLUSTER_TLS": "both"})["CLUSTER_TLS"]
    assert list(faults({"ORCHESTRY_TLS_CLIENT_CA": "/b"})) == ["ORCHESTRY_TLS_CLIENT_CA"]


def test_secret_is_mandatory_off_loopback(tmp_path: Path) -> None:
    """One address that is not loopback makes the secret mandatory, as value or file."""
    environ = {"CONTROLLER_NODE_ID": "a", "CLUSTER_PEERS": FAR}
    assert "mandatory" in faults(environ)["CLUSTER_SECRET"]
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert config.load(environ | {"CLUSTER_SECRET_FILE": str(file)}).secret == SECRET
    both = environ | {"CLUSTER_SECRET_FILE": str(file), "CLUSTER_SECRET": SECRET}
    assert "excludes" in faults(both)["CLUSTER_SECRET"]
    file.write_text("\n")
    assert "is empty" in faults(environ | {"CLUSTER_SECRET_FILE": str(file)})["CLUSTER_SECRET_FILE"]
    assert SECRET not in str(faults(environ | {"CLUSTER_SECRET": "x\n" + SECRET}))


@pytest.mark.parametrize(("environ", "on"), [
    ({}, False), ({"CONTROLLER_NODE_ID": "a", "CLUSTER_PEERS": THREE}, False),
    ({"ORCHESTRY_HOST": "0.0.0.0"}, True), ({"ORCHESTRY_HOST": "[::1]"}, False),
    ({"CONTROLLER_NODE_ID": "a", "CLUSTER_PEERS": FAR, "CLUSTER_SECRET": SECRET}, True),
    ({"ORCHESTRY_HOST": "0.0.0.0", "ORCHESTRY_AUTH": "off"}, False),
    ({"ORCHESTRY_AUTH": "on"}, True),
])
def test_tokens_are_asked_for_off_loopback(environ: Mapping[str, str], on: bool) -> None:
    """One address that is not loopback is enough, unless the operator decides otherwise."""
    assert config.load(environ).auth_on is on


def test_the_settings_of_access(tmp_path: Path) -> None:
    """Controllers must know one another; a first token is long, and from one place."""
    three = {"CONTROLLER_NODE_ID": "a", "CLUSTER_PEERS": THREE, "ORCHESTRY_AUTH": "on"}
    assert "needs CLUSTER_SECRET" in faults(three)["ORCHESTRY_AUTH"]
    assert config.load(three | {"CLUSTER_SECRET": SECRET}).auth_on
    short = faults({"ORCHESTRY_BOOTSTRAP_TOKEN": "secret"})
    assert "32 to 256" in short["ORCHESTRY_BOOTSTRAP_TOKEN"]
    file = tmp_path / "token"
    name, token = "ORCHESTRY_BOOTSTRAP_TOKEN_FILE", "t" * 32
    assert "cannot be read" in faults({name: str(file)})[name]
    file.write_text(token + "\n")
    assert config.load({name: str(file)}).bootstrap_token == token
    both = faults({name: str(file), "ORCHESTRY_BOOTSTRAP_TOKEN": token})
    assert "excludes" in both["ORCHESTRY_BOOTSTRAP_TOKEN"]


def test_variables_of_the_command_line_are_no_settings() -> None:
    """What the client and the ingress read does not disturb a controller."""
    settings = config.load({"ORCHESTRY_URL": "http://a:1", "ORCHESTRY_TOKEN": "t", "PATH": "/"})
    assert settings.port == 8000


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("[::1]", True),
     ("10.0.0.1", False), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only what surely stays on this machine counts as loopback."""
    assert readers.is_loopback(host) is loopback


def test_postgres_in_parts_is_a_url() -> None:
    """The parts are put together, quoted; both ways at once are refused."""
    parts = {"POSTGRES_HOST": "db.example", "POSTGRES_USER": "me", "POSTGRES_PASSWORD": "a@b:/c",
             "POSTGRES_DB": "his tory", "POSTGRES_PORT": "5433"}
    settings = config.load(parts)
    assert settings.database_url == "postgresql://me:a%40b%3A%2Fc@db.example:5433/his%20tory"
    assert "a@b" not in repr(settings)
    problem = faults({**parts, "DATABASE_URL": "postgresql://db/x"})
    assert "excludes POSTGRES_HOST" in str(problem)
