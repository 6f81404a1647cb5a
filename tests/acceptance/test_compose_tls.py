"""The stack that the chart renders with TLS: real images, HTTPS at every port, a leader killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestry import Client
from orchestry.chart import load_chart, merged
from orchestry.chart.render import rendered
from tests.acceptance.test_compose import UP_S, Stack, check_confined, docker
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.images.compose import build_all
from tests.live import app_spec, until
from tests.ports import free_ports

pytestmark = [
    pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside,
    pytest.mark.long, pytest.mark.timeout(900)]

HOST = "shop.localhost"
USER = 10001
WAIT_S = 120.0


class SecureStack(Stack):
    """The rendered compose file beside its certificates, as docs/charts.md has it."""

    def secure(self, folder: Path) -> None:
        """Render, make the certificates, and give them to the user of the containers."""
        chart = load_chart(ROOT / "helm-like/cluster")
        on = {"enabled": True}
        files = rendered(chart, merged(chart.values, {"tls": on, "ingress": {"tls": on}}))
        for name in ("local/docker-compose.yml", "certificates.sh"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(files[name])
        environ = {**os.environ, "PUBLIC_HOST": self.gateway, "PYTHONPATH": str(ROOT),
                   "ORCHESTRY": f"{sys.executable} -m orchestry.cli"}
        subprocess.run(["sh", str(folder / "certificates.sh")], env=environ, check=True,
                       capture_output=True, timeout=WAIT_S)
        certs = TestCa(folder / "apps")
        certs.issue("shop", HOST)
        (folder / "certs").mkdir()
        for end in ("crt", "key"):
            (folder / f"apps/shop.{end}").rename(folder / f"certs/shop.{end}")
        for path in [folder / "local/tls", folder / "certs"]:
            for one in [path, *path.rglob("*")]:
                os.chown(one, USER, USER)
        port = free_ports(1)[0]
        self.ports["INGRESS_TLS_PUBLIC_PORT"] = port
        with self.env_file.open("a") as file:
            file.write(f"TLS_FOLDER={folder}/local/tls\nCERTS_FOLDER={folder}/certs\n"
                       f"INGRESS_TLS_PUBLIC_PORT={port}\n")
        self.file, self.scheme = folder / "local/docker-compose.yml", "https"
        self.ca, self.apps_ca = str(folder / "ca/ca.crt"), certs.file

    def served(self, path: str = "/") -> int:
        """The status of the app over HTTPS, whose certificate is verified."""
        port = self.ports["INGRESS_TLS_PUBLIC_PORT"]
        done = subprocess.run(
            ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "--cacert",
             self.apps_ca, "--resolve", f"{HOST}:{port}:127.0.0.1", f"https://{HOST}:{port}{path}"],
            capture_output=True, text=True, check=False, timeout=WAIT_S)
        return int(done.stdout or 0)


@pytest.fixture
def stack(
    tmp_path: Path, docker_socket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SecureStack]:
    """A stack that is not up yet."""
    made = SecureStack(tmp_path, build_all(tmp_path), ["docker-compose"])
    try:
        made.prepare(docker_socket)
        made.secure(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", made.ca)
        yield made
    finally:
        made.clean_up()


def test_the_stack_with_tls(stack: SecureStack, test_app_image: str) -> None:
    """All health checks pass, an app is served over HTTPS, and another leader takes over."""
    stack.up()
    until("all healthy", stack.healthy, UP_S, 0.5)
    stack.cluster_id = stack.get("/cluster/status")[1]["cluster_id"]
    check_confined(stack)
    with Client([stack.api], token=stack.token, ca=stack.ca, timeout=WAIT_S) as client:
        client.register_app(app_spec("shop", test_app_image))
        client.start_app("shop", 2)
        until("served", lambda: stack.served() == 200, WAIT_S)
        leader = stack.leader()
        docker("kill", stack.container(leader))
        client.scale_app("shop", 3)
        until("another leader", lambda: stack.leader() not in ("", leader), WAIT_S)
        assert stack.served() == 200
