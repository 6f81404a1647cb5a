"""Admission: patterns of images and hosts, secrets that are masked, what a container never gets."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.control.plan import request
from cluster.engine.docker_format import DEFAULT_CAPABILITIES, container_config
from cluster.state.model import App
from orchestry.admission import (
    MASK,
    host_pattern,
    image_pattern,
    is_host_reserved,
    is_image_allowed,
    is_secret_name,
    masked,
    objections,
    repository,
)
from orchestry.spec.parse import SpecError, canonical, parse_app
from orchestry.spec.tables import CAPABILITIES_ALLOWED
from tests.fuzz.specs import FULL

DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "docker.io/library/nginx"), ("nginx:1.27", "docker.io/library/nginx"),
        ("library/nginx", "docker.io/library/nginx"), ("team/app" + DIGEST, "docker.io/team/app"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/team/app:1", "docker.io/team/app"),
        ("localhost:5000/app:1", "localhost:5000/app"), ("localhost/app", "localhost/app"),
        ("Registry.Example/team/app:1" + DIGEST, "registry.example/team/app"),
    ],
)
def test_an_image_has_one_full_name(image: str, name: str) -> None:
    """As Docker resolves it, so that no way of writing it gets past a list."""
    assert repository(image) == name


@pytest.mark.parametrize(
    ("patterns", "allowed", "refused"),
    [
        ((), ["nginx", "evil.example/x"], []),
        (("*",), ["nginx", "evil.example/x"], []),
        (("nginx",), ["nginx:1", "docker.io/library/nginx" + DIGEST],
         ["nginx-evil", "evil/nginx", "evil.example/library/nginx"]),
        (("docker.io/library/*",), ["redis"], ["team/app", "docker.io/team/library/x"]),
        (("registry.example:5000/team/*",),
         ["registry.example:5000/team/app:1", "registry.example:5000/team/a/b"],
         ["registry.example/team/app", "registry.example:5000/team-evil/app",
          "registry.example:5000/team", "registry.example:50001/team/app"]),
        (("registry.example/*", "team/*"), ["registry.example/a", "team/a"],
         ["registry.example.evil/a", "redis"]),
    ],
)
def test_images_by_pattern(
    patterns: tuple[str, ...], allowed: list[str], refused: list[str]
) -> None:
    """A name, or all below a slash; nothing that only begins alike."""
    kept = [image_pattern(pattern) for pattern in patterns]
    assert [image for image in allowed if not is_image_allowed(image, kept)] == []
    assert [image for image in refused if is_image_allowed(image, kept)] == []


def test_hosts_by_pattern() -> None:
    """A host, or all below one, which is not one of them itself."""
    kept = [host_pattern("admin.example.org"), host_pattern("*.intern.example.org")]
    reserved = ["admin.example.org", "a.intern.example.org", "a.b.intern.example.org"]
    free = ["example.org", "x.admin.example.org", "intern.example.org", "xintern.example.org"]
    assert [host for host in reserved if not is_host_reserved(host, kept)] == []
    assert [host for host in free if is_host_reserved(host, kept)] == []


def test_objections_name_field_and_remedy() -> None:
    """Image and each host, in one answer; an app without hosts is told of its name."""
    spec = parse_app(FULL)
    found = objections(spec, ("a.example", "admin.example"), images=("docker.io/library/*",),
                       reserved=("admin.example",))
    assert [problem.field for problem in found] == ["spec.image", "spec.ingress.hosts[1]"]
    assert "limits.images" in found[0].message
    assert "limits.reserved_hosts" in found[1].message
    document = copy.deepcopy(FULL)
    del document["spec"]["ingress"]
    found = objections(
        parse_app(document), ("shop.apps.example",), images=(), reserved=("*.apps.example",))
    assert [problem.field for problem in found] == ["metadata.name"]
    assert objections(spec, ("a.example",), images=(), reserved=()) == ()


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "api-token", "AWS_SECRET_ACCESS_KEY", "STRIPE_KEY", "Authorization",
             "DATABASE_URL", "Cookie", "SENTRY_DSN", "MY_PASSPHRASE"],
)
def test_what_is_called_like_a_secret_is_masked(name: str) -> None:
    """In variables under both names and in headers of checks; nothing else is touched."""
    assert is_secret_name(name)
    document = copy.deepcopy(FULL)
    document["spec"]["environment"].append({"name": name.replace("-", "_"), "value": "s3cr3t"})
    document["spec"]["env"] = [{"name": name, "value": "s3cr3t"}]
    document["healthCheck"]["headers"].append({"name": name, "value": "s3cr3t"})
    before = canonical(document)
    found = masked(document)
    assert "s3cr3t" not in canonical(found)
    assert canonical(found).count(MASK) == 3
    assert canonical(document) == before
    assert json.loads(canonical(found).replace(MASK, "s3cr3t")) == document


def test_other_names_stay() -> None:
    """A variable of another name is shown, and one whose value comes from elsewhere."""
    assert not any(map(is_secret_name, ("PORT", "LOG_LEVEL", "X-A", "HOSTNAME", "REPLICAS")))
    assert masked(FULL) == FULL


def test_a_fault_does_not_repeat_a_secret() -> None:
    """The value of a variable or header that is wrong is in no message, whatever its name."""
    document = copy.deepcopy(FULL)
    document["spec"]["environment"] = [{"name": "DB_PASSWORD", "value": 12345678},
                                       {"name": "OTHER", "value": "hunter\x0022"}]
    document["healthCheck"]["headers"] = [{"name": "Authorization", "value": " hunter22"}]
    with pytest.raises(SpecError) as caught:
        parse_app(document)
    assert [problem.field for problem in caught.value.problems] == [
        "spec.environment[0].value", "spec.environment[1].value", "healthCheck.headers[0].value"]
    assert "12345678" not in str(caught.value)
    assert "hunter" not in str(caught.value)


_CAPABILITIES = st.lists(st.sampled_from(CAPABILITIES_ALLOWED), unique=True, max_size=6)
_HOST_KEYS = {
    "NetworkMode", "RestartPolicy", "NanoCpus", "Memory", "MemorySwap", "PidsLimit", "SecurityOpt",
    "CapDrop", "CapAdd", "ReadonlyRootfs", "LogConfig", "Mounts",
}


@settings(max_examples=100, deadline=None)
@given(_CAPABILITIES, _CAPABILITIES, st.booleans(), st.booleans())
def test_what_a_container_never_gets(
    add: list[str], drop: list[str], drop_all: bool, read_only: bool
) -> None:
    """Whatever a valid spec asks for: no privilege, host mount, device, port or namespace."""
    document: dict[str, Any] = copy.deepcopy(FULL)
    document["spec"]["security"] = {
        "capAdd": add, "capDrop": ["ALL"] if drop_all else drop,
        "readOnlyRootFilesystem": read_only}
    spec = parse_app(document)
    app = App("shop", canonical(document), 3, running=True, replicas=1,
              created_at_ms=0, updated_at_ms=0)
    secrets = {(one.key, one.field): "x" for one in spec.environment if one.source == "secret"}
    config = container_config(
        request(app, spec, 0, cluster_id="c" * 32, epoch=1, secrets=secrets), "net")
    host = config["HostConfig"]
    assert set(host) == _HOST_KEYS
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"]) <= set(CAPABILITIES_ALLOWED)
    assert set(host["CapAdd"]) <= {*DEFAULT_CAPABILITIES, *add}
    assert 0 < host["PidsLimit"] <= 512
    assert host["Memory"] == host["MemorySwap"] > 0
    assert all(mount["Type"] == "volume" for mount in host["Mounts"])
    assert all(mount["Source"].startswith("orchestry-shop-") for mount in host["Mounts"])
    assert not {"ExposedPorts", "NetworkingConfig", "MacAddress"} & set(config)


@pytest.mark.parametrize("name", ["SYS_ADMIN", "ALL", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE"])
def test_capabilities_beyond_the_list_are_refused(name: str) -> None:
    """What gives the host away cannot be asked for."""
    document: dict[str, Any] = copy.deepcopy(FULL)
    document["spec"]["security"] = {"capAdd": [name]}
    with pytest.raises(SpecError, match=r"spec\.security\.capAdd"):
        parse_app(document)
