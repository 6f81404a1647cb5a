"""The demo of `orchestry dev --demo`: its image, and the app on the cluster."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from api.dev_cluster import CallError, Cluster

APP = "demo"
IMAGE = "orchestry-demo:1"
FALLBACK_BASE = "busybox:stable"
EXECUTABLE = 0o755
_FOLDER = Path(__file__).parent / "demo"
_ELF_INTERPRETER = b"/lib64/ld-linux"


def static_busybox() -> bytes | None:
    """The host's busybox, or None when there is none or it needs libraries."""
    found = shutil.which("busybox")
    if found is None:
        return None
    program = Path(found).read_bytes()
    return None if _ELF_INTERPRETER in program or b"/lib/ld-" in program else program


def context() -> dict[str, bytes | tuple[bytes, int]]:
    """The files to build the image from: all from this machine, where it can be.

    Without a static busybox here, the base image brings one, and has to be pulled.
    """
    files: dict[str, bytes | tuple[bytes, int]] = {
        "serve.sh": ((_FOLDER / "serve.sh").read_bytes(), EXECUTABLE),
        "www/health": b"ok\n",
        "www/cgi-bin/index.cgi": ((_FOLDER / "index.cgi").read_bytes(), EXECUTABLE),
    }
    dockerfile = (_FOLDER / "Dockerfile").read_text()
    program = static_busybox()
    if program is not None:
        files["busybox"] = (program, EXECUTABLE)
    else:
        dockerfile = dockerfile.replace("COPY busybox /bin/busybox\n", "")
        dockerfile = dockerfile.replace("BASE=scratch", f"BASE={FALLBACK_BASE}")
    files["Dockerfile"] = dockerfile.encode()
    return files


def deploy(cluster: Cluster) -> None:
    """Register and start the demo; a cluster that has it already is a success.

    Raises:
        CallError: the cluster refused, with its reason.
    """
    document = (_FOLDER / "demo.yaml").read_bytes()
    status, answer = cluster.write(
        "/api/v1/apps/register", document, content_type="application/yaml", key=uuid.uuid4().hex)
    if status != 201 and not (status == 409 and answer.get("code") == "APP_ALREADY_EXISTS"):
        raise CallError(f"the demo cannot be registered: {_reason(status, answer)}")
    known = cluster.read(f"/api/v1/apps/{APP}") or {}
    if known.get("status") not in (None, "registered", "stopped"):
        return
    status, answer = cluster.write(
        f"/api/v1/apps/{APP}/start", json.dumps({"wait": False}).encode(),
        content_type="application/json", key=uuid.uuid4().hex)
    if status != 200:
        raise CallError(f"the demo cannot be started: {_reason(status, answer)}")


def _reason(status: int, answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"HTTP {status}"
    details = answer.get("details")
    if isinstance(details, list):
        details = "; ".join(f"{fault.get('field')}: {fault.get('message')}" for fault in details)
    return ": ".join(str(part) for part in (answer.get("error"), details) if part)
