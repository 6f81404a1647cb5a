"""Counters of containers, read from every layout; garbage is missing, never zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.engine.cgroups import Cgroups
from cluster.engine.docker_usage import cores_of, usage_of

ID = "a" * 64
MB = 1024**2
V2 = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "cpu.max": "10000 100000\n",
    "memory.current": f"{50 * MB}\n", "memory.stat": f"anon 1\ninactive_file {10 * MB}\n",
    "memory.max": f"{64 * MB}\n",
}
V1_CPU = {"cpuacct.usage": "1500000000\n", "cpu.cfs_quota_us": "10000\n",
          "cpu.cfs_period_us": "100000\n"}
V1_MEMORY = {"memory.usage_in_bytes": f"{50 * MB}\n", "memory.limit_in_bytes": f"{64 * MB}\n",
             "memory.stat": f"cache 1\ntotal_inactive_file {10 * MB}\n"}


def fill(folder: Path, files: dict[str, str]) -> None:
    """Files of a folder that is made."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def make(root: Path, layout: str) -> Path:
    """A host's files; returns the folder with those of the CPU."""
    if layout.startswith("v2"):
        (root / "cgroup.controllers").write_text("cpu memory\n")
        name = f"docker/{ID}" if layout == "v2" else f"system.slice/docker-{ID}.scope"
        fill(root / name, V2)
        return root / name
    fill(root / "memory" / "docker" / ID, V1_MEMORY)
    if layout == "v1 apart":
        fill(root / "cpu" / "docker" / ID, {k: v for k, v in V1_CPU.items() if "cfs" in k})
        fill(root / "cpuacct" / "docker" / ID, V1_CPU)
        return root / "cpuacct" / "docker" / ID
    name = "cpu" if layout == "v1" else "cpu,cpuacct"
    fill(root / name / "docker" / ID, V1_CPU)
    return root / name / "docker" / ID


@pytest.mark.parametrize("layout", ["v2", "v2 systemd", "v1", "v1 joined", "v1 apart"])
def test_every_layout_gives_the_same(tmp_path: Path, layout: str) -> None:
    """Both versions, both drivers, controllers together or apart."""
    make(tmp_path, layout)
    found = Cgroups(tmp_path).read(ID, cpus=4, memory_bytes=1024 * MB)
    assert found is not None
    assert found.cpu_s == 1.5
    assert found.cpu_limit_cores == pytest.approx(0.1)
    assert (found.memory_bytes, found.memory_limit_bytes) == (40 * MB, 64 * MB)


@pytest.mark.parametrize("layout", ["v2", "v1"])
def test_without_limits_the_host_is_the_limit(tmp_path: Path, layout: str) -> None:
    """In the words of either version."""
    folder = make(tmp_path, layout)
    if layout == "v2":
        (folder / "cpu.max").write_text("max 100000\n")
        (folder / "memory.max").write_text("max\n")
    else:
        (folder / "cpu.cfs_quota_us").write_text("-1\n")
        (tmp_path / "memory" / "docker" / ID / "memory.limit_in_bytes").write_text(
            "9223372036854771712\n")
    found = Cgroups(tmp_path).read(ID, cpus=4, memory_bytes=1024 * MB)
    assert found is not None
    assert (found.cpu_limit_cores, found.memory_limit_bytes) == (4, 1024 * MB)


@pytest.mark.parametrize("layout", ["v2", "v1"])
@pytest.mark.parametrize("text", ["", "12", "twelve\n", "usage_usec\n", "-5\n", "\x00\n"])
def test_garbage_is_missing(tmp_path: Path, layout: str, text: str) -> None:
    """Empty, half-written, no number, negative."""
    folder = make(tmp_path, layout)
    (folder / ("cpu.stat" if layout == "v2" else "cpuacct.usage")).write_text(text)
    assert Cgroups(tmp_path).read(ID, cpus=4, memory_bytes=MB) is None


def test_a_container_that_is_gone_is_missing(tmp_path: Path) -> None:
    """Also when its folder was known, and it is found again when it comes back."""
    folder = make(tmp_path, "v2")
    cgroups = Cgroups(tmp_path)
    assert cgroups.read(ID, cpus=4, memory_bytes=MB) is not None
    away = folder.rename(tmp_path / "away")
    assert cgroups.read(ID, cpus=4, memory_bytes=MB) is None
    away.rename(folder)
    assert cgroups.read(ID, cpus=4, memory_bytes=MB) is not None
    cgroups.keep_only(frozenset())
    assert cgroups.read("b" * 64, cpus=4, memory_bytes=MB) is None


ANSWER: dict[str, Any] = {
    "read": "2026-01-15T10:30:00.123456789Z",
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
    "memory_stats": {"usage": 50 * MB, "limit": 64 * MB,
                     "stats": {"inactive_file": 10 * MB}},
}


@pytest.mark.parametrize("read", [
    "2026-01-15T10:30:00.123456789Z", "2026-01-15T10:30:00.1234Z", "2026-01-15T10:30:00Z",
])
def test_an_answer_of_the_api(read: str) -> None:
    """Docker leaves zeros at the end of a time out."""
    found = usage_of(ID, {**ANSWER, "read": read}, 0.1)
    assert found is not None
    assert (found.cpu_s, found.memory_bytes, found.memory_limit_bytes) == (1.5, 40 * MB, 64 * MB)
    assert found.at_s == pytest.approx(1_768_473_000, abs=1)


@pytest.mark.parametrize("change", [
    {"read": "0001-01-01T00:00:00Z"}, {"read": "now"}, {"read": None}, {"cpu_stats": {}},
    {"memory_stats": {}}, {"memory_stats": {"usage": 1, "limit": 0, "stats": {"inactive_file": 0}}},
    {"memory_stats": {"usage": 1, "limit": 9, "stats": {"inactive_file": 2}}},
    {"cpu_stats": {"cpu_usage": {"total_usage": -1}}}, {"cpu_stats": None},
])
def test_an_answer_that_means_nothing(change: dict[str, Any]) -> None:
    """As of a container that has just ended."""
    assert usage_of(ID, {**ANSWER, **change}, 0.1) is None


@pytest.mark.parametrize(("config", "cores"), [
    ({"NanoCpus": 100_000_000}, 0.1), ({"CpuQuota": 50_000, "CpuPeriod": 100_000}, 0.5),
    ({"CpuQuota": 50_000}, 0.5), ({}, 4), ({"NanoCpus": 0, "CpuQuota": -1}, 4),
    ({"NanoCpus": 64_000_000_000}, 4),
])
def test_limits_of_a_container(config: dict[str, Any], cores: float) -> None:
    """In both ways to say it, and never more than the host has."""
    assert cores_of(config, 4) == pytest.approx(cores)
