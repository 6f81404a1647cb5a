"""The test app with the programs of a static busybox beside it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cluster.engine.docker import DockerEngine


def build(engine: DockerEngine, base: str) -> str:
    """Add the programs to an image, unless that was done already; returns its tag."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "install busybox-static"
    program = Path(busybox).read_bytes()
    dockerfile = (f"FROM {base}\nCOPY busybox /bin/busybox\n"
                  'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n').encode()
    tag = f"orchestry-test-shell:{hashlib.sha256(program + dockerfile).hexdigest()[:12]}"
    if engine.image(tag) is None:
        engine.build_image(tag, {"Dockerfile": dockerfile, "busybox": (program, 0o755)})
    return tag
