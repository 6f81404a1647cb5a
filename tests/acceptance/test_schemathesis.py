"""The whole API against its own description, by Schemathesis, on three real controllers.

All checks and all phases. `make contract CASES=200` asks for more than a build has time for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import LiveCluster, app_spec, call

pytestmark = [pytest.mark.acceptance, pytest.mark.beside, pytest.mark.timeout(900)]

CASES = int(os.environ.get("CONTRACT_CASES", "0"))
"""Cases an operation in each phase; 0 is the short run of a build."""
SEED = os.environ.get("CONTRACT_SEED", "20260115")
SHORT_CASES = 2
APPS = ("my-app", "shop")
WITH_LARGE_SCHEMAS = (
    "register_app", "update_app", "restore_part", "simulate_scaling", "update_scaling_policy",
    "update_config", "compat_register", "compat_policy")
"""Coverage goes over every keyword of a schema: of these that takes minutes."""
ST = Path(sys.executable).with_name("st")

_CONFIG = """
[dictionaries.apps]
values = ["my-app", "shop"]

[parameters]
"path.app_name" = {dictionary = "apps", probability = 0.5}

[checks.not_a_server_error]
# 503 and 504 are described: no leader, no room, no resources, a wait that ran out.
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]

[checks.negative_data_rejection]
# The default, 307 of a node that does not lead and looks at nothing of a write, and 414.
expected-statuses = [307, 400, 404, 405, 409, 414, 415, "5xx"]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """Three controllers without Docker, and an application."""
    with LiveCluster(
        tmp_path_factory.mktemp("contract"), engine="fake", ingress=False,
    ) as live:
        assert live.write("POST", "/api/v1/apps/register", app_spec("shop", "x:1"))[0] == 201
        start = "/api/v1/apps/shop/start"
        assert live.write("POST", start, {"replicas": 2, "wait": False})[0] == 200
        yield live


def run(
    cluster: LiveCluster, node: str, folder: Path, *, redirects: str, phases: str,
) -> Counter[str]:
    """One run; (operation and status) -> how often, once Schemathesis finds no fault."""
    # The example of the page registers it, and then it is there for the examples of the others.
    status, body = cluster.write("DELETE", "/api/v1/apps/my-app?force=true")
    assert status in (200, 404), body
    config, counts = folder / "schemathesis.toml", folder / "counts.json"
    off = () if CASES else WITH_LARGE_SCHEMAS
    config.write_text(_CONFIG + "".join(
        f'[[operations]]\ninclude-operation-id = "{name}"\nphases.coverage.enabled = false\n'
        for name in off))
    done = subprocess.run(
        [ST, "--config-file", config, "run", cluster.url(node, "/openapi.json"),
         "--seed", SEED, "-n", str(CASES or SHORT_CASES), "--phases", phases,
         "--continue-on-failure", "--generation-database", "none", "--request-timeout", "30",
         "--no-color", "--warnings", "off"],
        env={
            **os.environ, "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks",
            "PYTHONPATH": str(Path(__file__).parents[2]), "CONTRACT_APPS": ",".join(APPS),
            "CONTRACT_MEMBERS": ",".join(cluster.ids), "CONTRACT_REDIRECTS": redirects,
            "CONTRACT_LEADER": cluster.led(), "CONTRACT_COUNTS": str(counts),
        },
        cwd=folder, capture_output=True, text=True, check=False,
    )
    for one in cluster.ids:
        assert "Traceback" not in cluster.log(one), cluster.log(one)[-4000:]
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-4000:]
    found = Counter(json.loads(counts.read_text()))
    match = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert match is not None, done.stdout[-4000:]
    print(f"\n{phases} at {node}, redirects {redirects}, seed {SEED}: {match[0]}; "
          f"{found.total()} answers, {_by_status(found)}")
    return found


def _by_status(found: Counter[str]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for key, number in found.items():
        sums[key.rpartition(" ")[2]] += number
    return dict(sorted(sums.items()))


def operations(cluster: LiveCluster) -> set[str]:
    """The ids of all that is described."""
    document = call("GET", cluster.url(cluster.ids[0], "/openapi.json"))[1]
    return {one["operationId"] for item in document["paths"].values() for one in item.values()}


def test_the_leader(cluster: LiveCluster, tmp_path: Path) -> None:
    """Every operation answers as it is described, to what is right and to what is wrong."""
    found = run(cluster, cluster.led(), tmp_path, redirects="followed",
                phases="examples,coverage,fuzzing,stateful")
    assert {key.partition(" ")[0] for key in found} == operations(cluster) - {"get_openapi"}
    assert not [key for key in found if key.endswith(" 500")]
    assert found["register_app 201"] > 0
    assert found["transfer_leadership 200"] > 0


def follower(cluster: LiveCluster) -> str:
    """One that does not lead."""
    return cluster.follower()


def test_a_follower_with_a_client_that_follows(cluster: LiveCluster, tmp_path: Path) -> None:
    """Reads are a follower's own, and writes arrive at the leader with their bodies."""
    found = run(cluster, follower(cluster), tmp_path, redirects="followed",
                phases="examples,fuzzing,stateful" + (",coverage" if CASES else ""))
    assert found["register_app 201"] > 0
    assert not [key for key in found if key.endswith(" 307")]


def test_a_follower_with_a_client_that_does_not(cluster: LiveCluster, tmp_path: Path) -> None:
    """A redirect has the body and the headers that are described, whatever was sent."""
    found = run(cluster, follower(cluster), tmp_path, redirects="told",
                phases="examples,fuzzing" + (",coverage,stateful" if CASES else ""))
    redirected = {key.partition(" ")[0] for key in found if key.endswith(" 307")}
    assert {"register_app", "start_app", "remove_app", "update_scaling_policy"} <= redirected
    assert found["register_app 201"] == 0
