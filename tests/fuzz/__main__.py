"""Fuzz one target under Atheris: `python -m tests.fuzz TARGET SECONDS [FOLDER]`.

The folder keeps the corpus; a finding is written beside it as `TARGET-crash-…` and ends the
run with status 77. What was found belongs into FOUND of `tests/fuzz/test_targets.py`.
"""

from __future__ import annotations

import importlib
import logging
import os
import resource
import sys
from pathlib import Path

import atheris

MODULES = {"spec": "specs", "chart": "charts", "wire": "wires", "journal": "journals"}
MEMORY_BYTES_MAX = 2 * 1024**3
INPUT_BYTES_MAX = 4096
INPUT_S_MAX = 20


def main() -> None:
    """Until the time is over or something was found."""
    target, seconds = sys.argv[1], int(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else ".fuzz") / target
    folder.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=[
            "orchestry", "cluster", "pysyncobj", "jinja2", "yaml", "tests.fuzz"]):
        module = importlib.import_module(f"tests.fuzz.{MODULES[target]}")
    for number, seed in enumerate(module.SEEDS):
        (folder / f"seed-{number}").write_bytes(seed)
    # `{{ 'x' * 10 ** 10 }}` must be a MemoryError, as in the process of a real rendering.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    os.nice(10)
    logging.disable()
    atheris.Setup([
        sys.argv[0], str(folder), f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_S_MAX}", f"-artifact_prefix={folder.parent}/{target}-", "-rss_limit_mb=0",
        "-print_final_stats=1",
    ], module.one)
    atheris.Fuzz()


main()
