"""The health check of the controller's image, as Docker would run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.api.process import ANSWER_S, START_S, serving
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.live import until


def checked(environ: dict[str, str]) -> int:
    """Its exit code."""
    line = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M)[0]
    return subprocess.run(json.loads(line), env={"PATH": os.environ["PATH"], **environ},
                          capture_output=True, timeout=ANSWER_S, check=False).returncode


@pytest.mark.parametrize("kind", ["plain", "https", "client certificates"])
def test_the_image_checks_how_its_controller_does(kind: str, tmp_path: Path) -> None:
    """0 once it is ready, by HTTP or HTTPS, whatever names its certificate has; else not 0."""
    environ: dict[str, str] = {}
    if kind != "plain":
        ca = TestCa(tmp_path / "ca")
        pair = ca.issue("one", "controller.example")
        environ = {"ORCHESTRY_TLS_CERT": pair.cert, "ORCHESTRY_TLS_KEY": pair.key}
        if kind == "client certificates":
            environ["ORCHESTRY_TLS_CLIENT_CA"] = ca.file
    with serving(**environ) as node:
        own = environ | {"ORCHESTRY_PORT": str(node.port)}
        until("it is healthy", lambda: checked(own) == 0, START_S)
    assert checked(own) != 0
