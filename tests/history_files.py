"""Files for histories, in a folder of the test process that ends with it."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_NUMBERS = itertools.count(1)


def history_file() -> Path:
    """A file that nobody else has; it is not there yet."""
    return _folder(os.getpid()) / f"history-{next(_NUMBERS)}.db"


@cache
def _folder(pid: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="orchestry-history-"))

    def remove() -> None:
        if os.getpid() == pid:  # not in a process that was forked from this one
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
