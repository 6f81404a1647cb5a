"""tools/secrets.sh: random, private, and never written twice."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "secrets.sh"
SECRETS = ("CLUSTER_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "INGRESS_ADMIN_TOKEN",
           "ORCHESTRY_BOOTSTRAP_TOKEN", "ORCHESTRY_SECRETS_KEY")


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A socket that stands for Docker's."""
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        # The path of a socket has at most 107 characters; pytest's folders can be deeper.
        before = Path.cwd()
        os.chdir(tmp_path)
        try:
            listener.bind("d.sock")
        finally:
            os.chdir(before)
        yield os.environ | {"DOCKER_SOCKET": str(path), "PUBLIC_HOST": "192.0.2.7"}


def run(file: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One run of the tool."""
    return subprocess.run([str(TOOL), str(file)], env=environ, capture_output=True, text=True,
                          check=False, timeout=120)


def values(file: Path) -> dict[str, str]:
    """The variables in the file."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_secrets_are_random_and_private(tmp_path: Path, environ: dict[str, str]) -> None:
    """Each is 32 random bytes, none is like another, and only the owner can read the file."""
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        done = run(file, environ)
        assert done.returncode == 0, done.stderr
        assert file.stat().st_mode & 0o777 == 0o600
        assert not any(values(file)[name] in done.stderr for name in SECRETS)
    found = [values(file)[name] for file in files for name in SECRETS]
    assert len(set(found)) == 2 * len(SECRETS)
    assert all(len(bytes.fromhex(secret)) == 32 for secret in found)
    assert values(files[0])["PUBLIC_HOST"] == "192.0.2.7"
    assert values(files[0])["DOCKER_GID"] == str((tmp_path / "d.sock").stat().st_gid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.sock", "one", "two"]


def test_a_file_that_exists_stays(tmp_path: Path, environ: dict[str, str]) -> None:
    """New secrets would lock the cluster out of its own data."""
    file = tmp_path / "env"
    file.write_text("mine")
    done = run(file, environ)
    assert done.returncode == 0
    assert "stays as it is" in done.stderr
    assert file.read_text() == "mine"


def test_without_docker_nothing_is_written(tmp_path: Path, environ: dict[str, str]) -> None:
    """The group of Docker's socket cannot be told; the message names the remedy."""
    done = run(tmp_path / "env", environ | {"DOCKER_SOCKET": str(tmp_path / "none")})
    assert done.returncode == 1
    assert "set DOCKER_SOCKET" in done.stderr
    assert not (tmp_path / "env").exists()
