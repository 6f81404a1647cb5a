"""The project's charts: the files of one host, of several, and values that make no sense."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from orchestry.chart import ChartError, check_output, load_chart, merged
from orchestry.chart.render import rendered
from tests.architecture.files import ROOT

CLUSTER = load_chart(ROOT / "helm-like/cluster")
SECRETS = {"cluster": "c" * 16, "ingressToken": "t" * 16, "appsKey": "a1" * 32}
VIP = {"enabled": True, "api": "10.0.0.100", "ingress": "10.0.0.101"}


def of(*controllers: int, **values: Any) -> dict[str, str]:
    """What the cluster's chart renders for as many hosts as there are numbers."""
    hosts = [{"name": f"h{n}", "address": f"10.0.0.{n}", "controllers": count}
             for n, count in enumerate(controllers, 1)]
    own: dict[str, Any] = {"hosts": hosts} if hosts else {}
    if len(hosts) > 1:
        own["secrets"] = SECRETS
    elif hosts:
        own["secrets"] = {"ingressToken": "t" * 16}
    return rendered(CLUSTER, merged(CLUSTER.values, own, values))


def compose(text: str) -> dict[str, Any]:
    """A compose file, read as its tools do."""
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    return document


def environment(text: str) -> dict[str, str]:
    """An EnvironmentFile."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=\S*", line) for line in lines), text
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_the_compose_file_of_the_project_is_the_default_rendering() -> None:
    """docker-compose.cluster.yml is not written twice; change the chart, then render it."""
    text = (ROOT / "docker-compose.cluster.yml").read_text()
    assert of()["local/docker-compose.yml"] == text


@pytest.mark.parametrize("count", [1, 3, 5])
def test_compose_has_as_many_controllers_as_wanted(count: int) -> None:
    """Peers, balancer, volumes and ports follow the number of controllers."""
    document = compose(of(count)["h1/docker-compose.yml"])
    ids = [f"controller-{n}" for n in range(1, count + 1)]
    assert [name for name in document["services"] if name.startswith("controller")] == ids
    assert [name for name in document["volumes"] if name != "postgres"] == ids
    api = document["services"]["api"]
    assert list(api["depends_on"]) == ids
    addresses = api["environment"]["API_CONTROLLERS"].split(",")
    nets = [document["services"][name]["networks"]["control"]["ipv4_address"] for name in ids]
    assert addresses == [f"{net}:8000" for net in nets]
    peers = document["services"]["controller-1"]["environment"].get("CLUSTER_PEERS", "")
    assert peers == ("" if count == 1 else ",".join(
        f"{name}={net}:9000" for name, net in zip(ids, nets, strict=True)))


@pytest.mark.parametrize(("values", "absent", "present"), [
    ({"postgres": {"enabled": False}}, "postgres", "redis"),
    ({"redis": {"enabled": False}}, "redis", "postgres"),
])
def test_services_can_be_left_out(values: dict[str, Any], absent: str, present: str) -> None:
    """Nothing of a service that is off remains: no dependency, no variable, no volume."""
    text = of(3, **values)["h1/docker-compose.yml"]
    document = compose(text)
    assert absent not in json.dumps(document).lower()
    assert present in document["services"]
    both = of(3, postgres={"enabled": False}, redis={"enabled": False})["h1/docker-compose.yml"]
    assert "depends_on" not in compose(both)["services"]["controller-1"]
    own = of(3, postgres={"enabled": False, "url": "postgresql://u:p@db:5432/o"},
             redis={"enabled": False, "url": "redis://r:6379/0"})["h1/docker-compose.yml"]
    variables = compose(own)["services"]["controller-2"]["environment"]
    assert variables["DATABASE_URL"] == "postgresql://u:p@db:5432/o"
    assert variables["REDIS_URL"] == "redis://r:6379/0"


def test_each_host_gets_its_own_files() -> None:
    """Two controllers on one host have ports of their own; every one knows all peers."""
    files = of(2, 1, vip=VIP)
    assert {path for path in files if path.startswith("h1/")} == {
        "h1/balancer.conf", "h1/controller-1.env", "h1/controller-2.env", "h1/keepalived.conf",
        "h1/secrets.env", "h1/systemd/keepalived.service.d/orchestry.conf",
        "h1/systemd/orchestry-balancer.service",
        "h1/systemd/orchestry-controller@.service", "h1/systemd/orchestry-ingress.service"}
    second = environment(files["h1/controller-2.env"])
    assert second["CONTROLLER_API_URL"] == "http://10.0.0.1:8002"
    assert second["CLUSTER_RAFT_PORT"] == "9001"
    peers = {environment(text)["CLUSTER_PEERS"] for path, text in files.items()
             if re.fullmatch(r"h\d/controller-\d\.env", path)}
    assert peers == {
        "controller-1=10.0.0.1:9000,controller-2=10.0.0.1:9001,controller-3=10.0.0.2:9000"}
    assert environment(files["h2/secrets.env"])["INGRESS_ADMIN"] == (
        f"http://{'t' * 16}@10.0.0.1:9090,http://{'t' * 16}@10.0.0.2:9090")
    assert "t" * 16 not in "".join(
        text for path, text in files.items() if not path.endswith("secrets.env"))


def test_controllers_accept_their_environments() -> None:
    """The settings are known and fit together, by the controller's own reader."""
    from cluster import config

    engine = {"host": "tcp://10.0.0.9:2375", "insecure": True}
    for files in (of(1, 1, 1, docker=engine), of(3), of(1)):
        environments = {path: text for path, text in files.items() if "/controller-" in path}
        assert environments
        for path, text in environments.items():
            secrets = environment(files[path.partition("/")[0] + "/secrets.env"])
            loopback = {} if secrets["CLUSTER_SECRET"] else {"CLUSTER_SECRET": "c" * 16}
            settings = config.load(environment(text) | secrets | loopback, None)
            assert settings.secrets_keys in ((), (b"\xa1" * 32,))
            assert bool(settings.secrets_keys) == ("h2/secrets.env" in files)
            assert settings.node_id == path.partition("/")[2].removesuffix(".env")


def test_keepalived_has_two_instances_and_never_preempts() -> None:
    """Unicast to all others, priorities that differ, and checks of what each address needs."""
    files = of(1, 1, 1, vip=VIP)
    priorities = set()
    for number in (1, 2, 3):
        text = files[f"h{number}/keepalived.conf"]
        api, ingress = re.findall(r"vrrp_instance \w+ \{.*?\n\}", text, re.DOTALL)
        for part in (api, ingress):
            assert re.findall(r"        (10\.0\.0\.[0-9])\n", part) == [
                f"10.0.0.{n}" for n in (1, 2, 3) if n != number]
            assert "nopreempt" in part
            assert "advert_int 0.2" in part
        assert re.findall(r"track_script \{(.*?)\}", api, re.DOTALL)[0].split() == [
            "controller_gone", "controller_ill", "balancer_gone", "balancer_ill"]
        assert re.findall(r"track_script \{(.*?)\}", ingress, re.DOTALL)[0].split() == [
            "ingress_gone", "ingress_ill"]
        priorities |= set(re.findall(r"priority (\d+)", text))
    assert len(priorities) == 3


def test_a_host_without_controllers_checks_its_balancer_alone() -> None:
    """It can hold the addresses all the same."""
    text = of(3, 0, vip=VIP)["h2/keepalived.conf"]
    assert "vrrp_script controller" not in text
    assert "vrrp_script balancer_gone" in text


@pytest.mark.parametrize(("controllers", "values", "expected"), [
    ((2,), {}, "must be 1, 3 or 5, not 2"),
    ((1, 1, 1), {"secrets": {"cluster": ""}}, "secrets.cluster: several hosts need a secret"),
    ((1, 1, 1), {"secrets": {"ingressToken": ""}}, "secrets.ingressToken: several hosts"),
    ((3,), {"secrets": {"ingressToken": ""}},
     "secrets.ingressToken: whoever reaches the admin port at 10.0.0.1"),
    ((1, 1, 1), {"secrets": {"cluster": "short"}}, "secrets.cluster: must be empty, or 16 to"),
    ((3,), {"vip": VIP}, "vip.enabled: needs at least two hosts"),
    ((1, 1, 1), {"vip": VIP | {"api": ""}}, "vip.api: set the virtual address of the API"),
    ((1, 1, 1), {"vip": VIP | {"api": "10.0.0.101"}}, "vip.ingress: must differ"),
    ((1, 1, 1), {"vip": VIP | {"routerIds": {"api": 52}}}, "vip.routerIds.ingress: must differ"),
    ((3,), {"redis": {"url": "redis://r/0"}}, "redis.enabled must be false"),
    ((3,), {"images": {"redis": "a b\n  privileged: true"}}, "images.redis: must match"),
    ((3,), {"hosts": [{"name": "a", "address": "x", "controllers": 1}] * 2},
     "hosts.0.address: must be an IPv4 address"),
    ((3,), {"hosts": [{"name": "a", "address": f"10.0.0.{n}", "controllers": n} for n in (1, 2)],
            "secrets": SECRETS}, "hosts.1.name: a is given twice"),
    ((3,), {"vip": {"interface": "eth0; reboot"}}, "vip.interface: must match"),
])
def test_values_that_make_no_sense_are_refused(
    controllers: tuple[int, ...], values: dict[str, Any], expected: str
) -> None:
    """Each message names the value and what would be right."""
    with pytest.raises(ChartError) as caught:
        of(*controllers, **values)
    assert expected in str(caught.value)


def test_the_app_chart_renders_what_its_values_say() -> None:
    """Environment variables may have any name, also one of a method of Python's."""
    chart = load_chart(ROOT / "helm-like/web-app")
    values = merged(chart.values, {"env": {"items": "a: b", "X": '"'}, "hosts": ["a.example"]})
    files = rendered(chart, values)
    assert list(check_output(chart, files)) == ["web"]
    spec = yaml.safe_load(files["app.yaml"])["spec"]
    assert spec["environment"] == [{"name": "items", "value": "a: b"}, {"name": "X", "value": '"'}]
    assert spec["ingress"]["hosts"] == ["a.example"]
    json.dumps(spec)
