"""Clients of the Python SDK that write at a steady rate, and what they saw."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestry import Client
from orchestry.client import ClientError
from tests.live import until

WRITERS = 4


@dataclass
class Load:
    """What the writers saw: seconds of each call, what failed, and the worst of each step."""

    took_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    step: str = "before"
    worst_s: dict[str, float] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)

    def figures(self) -> str:
        """One line for people."""
        took = sorted(self.took_s)
        rate = len(took) / (time.monotonic() - self.began_s)
        return (f"{len(took)} SDK writes at {rate:.0f}/s, {len(self.failed)} failed; median "
                f"{took[len(took) // 2] * 1000:.0f} ms, worst of each step: "
                + ", ".join(f"{step} {worst * 1000:.0f} ms"
                            for step, worst in self.worst_s.items()))


@contextmanager
def writing(
    urls: Sequence[str], call: Callable[[Client, int, int], object], *, rate: float = 100,
) -> Iterator[Load]:
    """`rate` writes a second by the SDK, each at its time, by WRITERS clients.

    `call` gets the client, the number of the writer and that of its turn.
    """
    load, stop = Load(), threading.Event()

    def write(number: int) -> None:
        client, due_s = Client(urls), time.monotonic() + number / rate
        turn = 0
        while not stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + WRITERS / rate, time.monotonic() - 1.0)
            turn += 1
            begun_s, step = time.monotonic(), load.step
            try:
                call(client, number, turn)
            except ClientError as error:
                load.failed.append(repr(error))
            took_s = time.monotonic() - begun_s
            load.took_s.append(took_s)
            load.worst_s[step] = max(took_s, load.worst_s.get(step, 0.0))

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def goes_on(load: Load, calls: int = 100) -> None:
    """Wait for so many more."""
    count = len(load.took_s)
    until("writes go on", lambda: len(load.took_s) > count + calls, 60)
