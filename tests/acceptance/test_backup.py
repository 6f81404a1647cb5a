"""Backup, restore and recovery with real controllers, files and containers."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.consensus.rescue import BACKUP_SUFFIX
from cluster.engine.docker import DockerEngine
from tests.acceptance.test_members import GrowingCluster, writers
from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import begin, cli, cluster_id

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

SOON_S = 60.0
"""A busy machine takes long; each test has five minutes."""


def specs(cluster: LiveCluster) -> dict[str, Any]:
    """Every app's spec and wanted replicas, by the word of one controller that is up to date."""
    node = cluster.alive()[0]
    apps = call("GET", cluster.url(node, "/api/v1/apps?consistency=linearizable"))[1]["apps"]
    return {
        row["name"]: (call("GET", cluster.url(node, f"/api/v1/apps/{row['name']}/spec"))[1],
                      row["replicas"]["desired"])
        for row in apps
    }


def running(engine: DockerEngine, cluster: str) -> dict[str, int]:
    """Container id -> start time, from Docker itself."""
    return {c.id: c.started_at_ms for c in engine.observe(cluster) if c.phase == "running"}


def test_a_backup_under_writes_is_one_moment_of_the_cluster(tmp_path: Path) -> None:
    """It holds all that was acknowledged before, and a new cluster shows just that."""
    file = tmp_path / "state.backup"
    with GrowingCluster(tmp_path / "old", 3) as old:
        with writers(old) as done:
            until("some writes", lambda: len(done) > 20, SOON_S)
            before = set(done)
            taken = cli(old, "cluster", "backup", str(file))
            assert taken.returncode == 0, taken.stderr
            assert [found.name for found in tmp_path.glob("state.backup*")] == [file.name]
            assert file.stat().st_mode & 0o777 == 0o600
            again = cli(old, "cluster", "backup", str(file))
            assert again.returncode == 2
            assert "--force" in again.stderr
        wanted = specs(old)
    with GrowingCluster(tmp_path / "new", 3) as new:
        refused = cli(new, "cluster", "restore", str(file))
        assert refused.returncode == 2
        done_now = cli(new, "cluster", "restore", str(file), "--yes")
        assert done_now.returncode == 0, done_now.stderr
        found = specs(new)
        assert before <= set(found) <= set(wanted)
        assert found == {name: wanted[name] for name in found}
        full = cli(new, "cluster", "restore", str(file), "--yes")
        assert full.returncode == 1
        assert "empty cluster" in full.stderr
        file.write_bytes(file.read_bytes()[:-40])
        cut = cli(new, "cluster", "restore", str(file), "--yes")
        assert cut.returncode == 1
        assert "cut short" in cut.stderr
        assert new.write("POST", "/api/v1/apps/register", app_spec("later", "x:1"))[0] == 201


@pytest.mark.docker
def test_restore_adopts_containers_only_when_asked(
    tmp_path: Path, test_app_image: str, engine: DockerEngine
) -> None:
    """A new cluster leaves the old containers alone; one that adopts goes on with the same."""
    file = tmp_path / "state.backup"
    with LiveCluster(tmp_path / "old", size=1, ingress=False) as old:
        begin(old, app_spec("shop", test_app_image), 2)
        lost = cluster_id(old)
        assert cli(old, "cluster", "backup", str(file)).returncode == 0
        before = running(engine, lost)
        assert len(before) == 2
        old.kill("controller-1")
        with LiveCluster(tmp_path / "new", size=1, ingress=False) as new:
            adopting = cli(new, "cluster", "restore", str(file), "--yes", "--adopt")
            assert adopting.returncode == 1
            assert f"CLUSTER_ADOPT={lost}" in adopting.stderr
            done = cli(new, "cluster", "restore", str(file), "--yes")
            assert done.returncode == 0, done.stderr
            until("its own replicas", lambda: new.status("shop")["status"] == "running", SOON_S)
            assert len(running(engine, cluster_id(new))) == 2
            assert running(engine, lost) == before
        adopts = {"CLUSTER_ADOPT": lost}
        with LiveCluster(tmp_path / "heir", size=1, ingress=False, environ=adopts) as heir:
            assert cluster_id(heir) == lost
            plain = cli(heir, "cluster", "restore", str(file), "--yes")
            assert plain.returncode == 1
            assert running(engine, lost) == before
            done = cli(heir, "cluster", "restore", str(file), "--yes", "--adopt")
            assert done.returncode == 0, done.stderr
            until("adopted", lambda: heir.status("shop")["status"] == "running", SOON_S)
            assert running(engine, lost) == before
            code = cli(heir, "--json", "cluster", "verify")
            assert json.loads(code.stdout)["clean"], code.stdout


@pytest.mark.docker
def test_two_of_three_disks_lost(
    tmp_path: Path, test_app_image: str, engine: DockerEngine
) -> None:
    """The one that is left shows what it knows, goes on alone, and grows again."""
    with GrowingCluster(tmp_path, 3) as cluster:
        cluster.engine = "docker"
        for node in cluster.ids:
            cluster.kill(node)
        for node in cluster.ids:
            cluster.boot(node)
        cluster.wait_ready()
        begin(cluster, app_spec("shop", test_app_image), 2)
        old_id = cluster_id(cluster)
        before = running(engine, old_id)
        left = cluster.follower()
        folder = str(tmp_path / left)
        locked = cli(None, "cluster", "recover", "--data-dir", folder, "--plan")
        assert locked.returncode == 1
        assert "in use" in locked.stderr or "another process" in locked.stderr
        for node in cluster.ids:
            cluster.kill(node)
            if node != left:
                (tmp_path / node).rename(tmp_path / f"{node}-lost")
        plan = cli(None, "cluster", "recover", "--data-dir", folder, "--plan")
        assert plan.returncode == 0, plan.stderr
        for part in ("What may be lost", old_id, "apps           1", "What will be done"):
            assert part in plan.stdout
        unsure = cli(None, "cluster", "recover", "--data-dir", folder)
        assert unsure.returncode == 1
        assert "--yes" in unsure.stderr
        journal = next(Path(folder).glob("journal*"))
        before_it = journal.read_bytes()
        done = cli(None, "--json", "cluster", "recover", "--data-dir", folder, "--yes")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["apps"] == ["shop"]
        again = cli(None, "cluster", "recover", "--data-dir", folder, "--yes")
        assert "only member already" in again.stdout
        kept = journal.with_name(journal.name + BACKUP_SUFFIX)
        assert kept.read_bytes() == before_it != journal.read_bytes()
        cluster.boot(left)
        cluster.wait_ready()
        until("it goes on", lambda: cluster.status("shop")["status"] == "running", SOON_S)
        assert (cluster_id(cluster), running(engine, old_id)) == (old_id, before)
        for node in cluster.ids:
            if node != left:
                assert cluster.add(node, first=True)[0] == 201
        cluster.agree(cluster.ids)
        assert cluster.write("POST", "/api/v1/apps/shop/scale", {"replicas": 3})[0] == 200
        assert before.items() <= running(engine, old_id).items()
        _the_lost_ones_come_back(cluster, tmp_path, left, engine, old_id)


def _the_lost_ones_come_back(
    cluster: GrowingCluster, folder: Path, left: str, engine: DockerEngine, of: str
) -> None:
    """Two controllers with their old disks are a majority of the old members, and do nothing."""
    for node in cluster.ids:
        cluster.kill(node)
    there = running(engine, of)
    lost = [node for node in cluster.ids if node != left]
    for node in lost:
        shutil.rmtree(folder / node)
        (folder / f"{node}-lost").rename(folder / node)
        cluster.boot(node)
    cluster.wait_ready()
    scaled = cluster.write("POST", "/api/v1/apps/shop/scale", {"replicas": 1, "wait": False})
    assert scaled[0] == 200
    until("it says why", lambda: "recovered elsewhere" in (
        cluster.status("shop")["problem"] or {}).get("message", ""), SOON_S)
    time.sleep(3)
    assert running(engine, of) == there


@pytest.mark.parametrize(("make", "why"), [
    (lambda folder: None, "is no data folder"),
    (lambda folder: (folder / "node.json").write_text("{"), "is no data folder"),
])
def test_recover_refuses_what_is_no_data_folder(tmp_path: Path, make: Any, why: str) -> None:
    """Nothing is made there."""
    make(tmp_path)
    before = sorted(file.name for file in tmp_path.iterdir())
    done = cli(None, "cluster", "recover", "--data-dir", str(tmp_path), "--yes")
    assert done.returncode == 1
    assert why in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == before
