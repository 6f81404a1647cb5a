"""Images built on the spot: no registry is needed."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from cluster.engine.docker import DockerEngine

SOURCE = Path(__file__).with_name("app.c")
DOCKERFILE = b'FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n'
COMPILE = ("gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
COMPILE_TIMEOUT_S = 60


def build_test_app(engine: DockerEngine) -> str:
    """Compile and build the test app (needs gcc and libc6-dev); returns its tag.

    The tag carries the hash of the source, so that an image already built is taken as it is.
    """
    digest = hashlib.sha256(SOURCE.read_bytes() + DOCKERFILE).hexdigest()[:12]
    tag = f"orchestry-test-app:{digest}"
    if engine.image(tag) is None:
        with tempfile.TemporaryDirectory() as folder:
            binary = Path(folder) / "app"
            subprocess.run(
                [*COMPILE, "-o", str(binary), str(SOURCE)], check=True, timeout=COMPILE_TIMEOUT_S
            )
            engine.build_image(
                tag, {"Dockerfile": DOCKERFILE, "app": (binary.read_bytes(), 0o755)}
            )
    return tag
