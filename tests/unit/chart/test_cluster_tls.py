"""The cluster's chart with TLS: every place that speaks HTTPS, and what the units may do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cluster import config
from orchestry.chart import ChartError
from tests.unit.chart.test_cluster import VIP, compose, environment, of

TLS = {"enabled": True}
HTTPS = {"tls": {"enabled": True, "port": 8443, "redirect": True, "hstsSeconds": 600}}
LAYOUTS = [(1,), (3,), (5,), (1, 1, 1), (2, 1), (1, 1, 1, 1, 1)]


@pytest.mark.parametrize("controllers", LAYOUTS)
def test_nothing_speaks_plain_http_to_the_api(controllers: tuple[int, ...]) -> None:
    """Addresses, balancers and checks are https; each controller has files of its own."""
    more = {"vip": VIP} if len(controllers) > 1 else {}
    files = of(*controllers, tls=TLS, ingress=HTTPS, **more)
    ids = [f"controller-{n}" for n in range(1, sum(controllers) + 1)]
    for path, text in files.items():
        host, _, name = path.partition("/")
        if re.fullmatch(r"controller-\d\.env", name):
            secrets = environment(files[f"{host}/secrets.env"])
            loopback = {} if secrets["CLUSTER_SECRET"] else {"CLUSTER_SECRET": "c" * 16}
            settings = config.load(environment(text) | secrets | loopback, None)
            assert settings.api_url.startswith("https://")
            assert settings.tls_cert == f"/etc/orchestry/tls/{settings.node_id}/node.crt"
            assert (settings.cluster_tls, settings.tls_ca_key) == (
                "on", "/etc/orchestry/tls/ca/ca.key")
            assert (settings.ingress_certs, settings.ingress_tls_port) == (
                "/etc/orchestry/certs", 8443)
        if name in ("balancer.conf", "keepalived.conf", "docker-compose.yml"):
            assert not re.search(r"http://[^\n]*(:8000|:800\d|controllers)", text), path
    script = files["certificates.sh"]
    assert re.findall(r"--name (\S+)", script) == ids
    assert ("--host 10.0.0.100" in script) == (len(controllers) > 1)


def test_keepalived_and_balancer_know_the_controllers_by_their_ca() -> None:
    """The checks verify; the balancer shows the certificate that its host's controller renews."""
    files = of(2, 1, tls=TLS, vip=VIP)
    text = files["h2/keepalived.conf"]
    checks = re.findall(r'script "/usr/bin/curl ([^"]*)"', text)
    assert [check for check in checks if "https:" in check] == [
        f"-s -m 0.9 -o /dev/null -f --cacert /etc/orchestry/tls/ca/ca.crt https://10.0.0.2:{rest}"
        for rest in ("8001/readyz", "8000/balancer")]
    conf = files["h2/balancer.conf"]
    assert "listen 8000 ssl;" in conf
    assert "ssl_certificate /etc/orchestry/tls/controller-3/node.crt;" in conf
    assert "proxy_ssl_verify on;" in conf
    watched = files["h2/systemd/orchestry-balancer-reload.path"]
    assert "PathChanged=/etc/orchestry/tls/controller-3/node.crt" in watched


def test_own_certificates() -> None:
    """No key of a CA and no script; a host without controllers has a folder for its balancer."""
    files = of(3, 0, tls={"enabled": True, "clusterCa": False, "name": "api.example.org"}, vip=VIP)
    assert not [path for path, text in files.items() if "ca.key" in text or path.endswith(".sh")]
    assert "/etc/orchestry/tls/balancer/node.crt" in files["h2/balancer.conf"]
    assert "proxy_ssl_name api.example.org;" in files["h2/balancer.conf"]
    unit = files["h1/systemd/orchestry-controller@.service"]
    assert "ReadWritePaths=/var/lib/orchestry/%i\n" in unit
    assert "ReadWritePaths=/var/lib/orchestry/%i /etc/orchestry/tls/%i\n" in (
        of(3, tls=TLS)["h1/systemd/orchestry-controller@.service"])


def test_compose_mounts_and_publishes_what_tls_needs() -> None:
    """The balancer shows the first controller's certificate and never sees the key of the CA."""
    document = compose(of(3, tls=TLS, ingress=HTTPS)["h1/docker-compose.yml"])
    services = document["services"]
    one, api = services["controller-1"], services["api"]
    assert one["environment"]["CONTROLLER_API_URL"].startswith("https://")
    assert "${TLS_FOLDER:-./tls}/controller-1:/etc/orchestry/tls" in one["volumes"]
    assert one["environment"]["ORCHESTRY_TLS_CA_KEY"] == "/etc/orchestry/ca/ca.key"
    assert api["command"][4] == "/opt/orchestry-ingress/api-tls.conf"
    assert api["user"] == "10001:10001"
    assert api["volumes"] == ["${TLS_FOLDER:-./tls}/controller-1:/etc/orchestry/tls:ro",
                              "${TLS_FOLDER:-./tls}/ca/ca.crt:/etc/orchestry/ca.crt:ro"]
    assert services["ingress"]["ports"] == [
        "${INGRESS_PUBLIC_PORT:-80}:8080", "${INGRESS_TLS_PUBLIC_PORT:-8443}:8443"]


def test_docker_of_another_machine() -> None:
    """It is asked over TLS, or in the clear when the values say so in so many words."""
    host = {"host": "tcp://10.0.0.9:2376"}
    secure = environment(of(1, 1, 1, docker=host | {"certs": "/etc/d"})["h1/controller-1.env"])
    assert secure["DOCKER_CERT_PATH"] == "/etc/d"
    plain = environment(of(1, 1, 1, docker=host | {"insecure": True})["h1/controller-1.env"])
    assert plain["DOCKER_INSECURE"] == "true"
    document = compose(of(3, docker=host | {"certs": "/etc/d"})["h1/docker-compose.yml"])
    one = document["services"]["controller-1"]
    assert "/etc/d:/etc/orchestry/docker:ro" in one["volumes"]
    assert one["environment"]["DOCKER_CERT_PATH"] == "/etc/orchestry/docker"


@pytest.mark.parametrize(("controllers", "values", "expected"), [
    ((3, 0), {"tls": TLS}, "tls.clusterCa: h2 has no controller"),
    ((3,), {"tls": TLS | {"clusterCa": False}}, "tls.name: set a name that your certificates"),
    ((3,), {"tls": TLS | {"name": "a;b"}}, "tls.name: must be a host name"),
    ((3,), {"tls": TLS | {"between": "off"}}, "tls.between: must be one of on, both"),
    ((3,), {"docker": {"host": "tcp://10.0.0.9:2375"}}, "docker.certs: whoever reaches"),
    ((3,), {"docker": {"certs": "etc"}}, "docker.certs: must be an absolute path"),
    ((3,), {"ingress": {"tls": {"certs": "/a b"}}}, "ingress.tls.certs: must match"),
])
def test_values_of_tls_that_make_no_sense_are_refused(
    controllers: tuple[int, ...], values: dict[str, Any], expected: str
) -> None:
    """Each message names the value and what would be right."""
    with pytest.raises(ChartError) as caught:
        of(*controllers, **values)
    assert expected in str(caught.value)


HARDENED = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
    "PrivateTmp": "yes", "PrivateDevices": "yes", "ProtectProc": "invisible",
    "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes", "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "LockPersonality": "yes",
    "SystemCallFilter": "@system-service", "AmbientCapabilities": "",
}
NGINX = {"CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE",
         "CAP_KILL"}


@pytest.mark.parametrize(("unit", "capabilities", "writes"), [
    ("orchestry-controller@", set(), "/var/lib/orchestry/%i"),
    ("orchestry-ingress", NGINX, "/var/lib/orchestry/ingress"),
    ("orchestry-balancer", NGINX, "/var/lib/orchestry/balancer"),
])
def test_units_may_do_what_they_need_and_no_more(
    unit: str, capabilities: set[str], writes: str
) -> None:
    """No capability beyond these, one folder to write to, no home folders, no devices."""
    text = of(3)[f"h1/systemd/{unit}.service"]
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert HARDENED.items() <= found.items()
    assert set(found["CapabilityBoundingSet"].split()) == capabilities
    assert found["ReadWritePaths"] == writes
