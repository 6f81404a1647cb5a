"""`logs -f` and `events -f` in their own process, against stub controllers."""

from __future__ import annotations

import json
import signal
from typing import Any, get_args

import pytest

from api.models import EventsQuery
from orchestry.cli.commands.history import EVENT_TYPES
from tests.unit.stub_cluster import Says, Seen, error, nodes
from tests.unit.test_cli_process import start
from tests.unit.test_client_streams import close, data, event, line, stream

EVENT = {"id": 7, "type": "config", "app_name": "web", "message": "was registered",
         "timestamp": "2026-01-01T00:00:01.5Z", "details": {}}
NEW = {**EVENT, "id": 8, "type": "error", "app_name": None, "message": "a disk is full\x1b[2J"}
PAUSE = Says(200, b"", {"Content-Type": "text/event-stream"}, delay_s=120)


def followed(*arguments: str, answers: list[Says], lines: int) -> tuple[list[str], list[Seen]]:
    """The first lines of a command that is then interrupted, and the requests that it made."""
    left = iter(answers)
    with nodes(lambda _: next(left, PAUSE)) as (stub,), \
            start(*arguments, "-u", stub.url) as process:
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")
    return shown, stub.seen


def test_logs_are_followed_over_a_break_until_interrupted() -> None:
    """Each line at once behind its replica's name; Ctrl-C is the normal end."""
    shown, seen = followed("logs", "web", "-f", "-n", "5", "--level", "INFO", lines=3, answers=[
        stream(data(line(1, "one")), data(line(2, "two", "web-22"))),
        stream(data(line(2, "two", "web-22")), data(line(3, "th\x1b[2Jree")))])
    assert shown == ["web-1 | one\n", "web-22 | two\n", "web-1  | th\\x1b[2Jree\n"]
    assert seen[0].path == "/api/v1/apps/web/logs/stream?level=INFO&tail=5"
    assert "since=" in seen[1].path


def test_json_of_followed_logs_is_one_document_a_line() -> None:
    """So that a program may read it as it comes."""
    wanted = [line(1, "one"), line(2, "two")]
    shown, _ = followed("logs", "web", "-f", "--json", lines=2,
                        answers=[stream(*map(data, wanted))])
    assert [json.loads(text) for text in shown] == wanted


def test_json_of_what_was_followed_ends_with_a_line_too() -> None:
    """Also when it fails after some lines."""
    answers = iter([Says(200, {"events": [EVENT]}), error(403, "FORBIDDEN")])
    with nodes(lambda _: next(answers)) as (stub,), \
            start("events", "-f", "--json", "-u", stub.url) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 6
    assert [json.loads(text).get("code") for text in output.splitlines()] == [None, "FORBIDDEN"]


@pytest.mark.parametrize(("past", "asked"), [([EVENT], "since_id=7"), ([], "since_id=0")])
def test_events_are_followed_after_those_of_the_past(past: list[Any], asked: str) -> None:
    """The stream begins after the last event that was printed, so none is missing."""
    shown, seen = followed("events", "-f", lines=len(past) + 1, answers=[
        Says(200, {"events": past}), stream(f"id: 8\n{data(NEW)}")])
    wanted = ["2026-01-01T00:00:01Z  error    -                     a disk is full\\x1b[2J\n"]
    if past:
        wanted.insert(0, "2026-01-01T00:00:01Z  config   web                   was registered\n")
    assert shown == wanted
    assert seen[1].path == f"/api/v1/events/stream?{asked}"


def test_events_of_one_app_as_json() -> None:
    """Past and new ones alike, one document a line."""
    shown, seen = followed("events", "web", "-f", "--json", "-t", "config", lines=2, answers=[
        Says(200, {"events": [EVENT]}), stream(event(9))])
    assert [json.loads(text)["id"] for text in shown] == [7, 9]
    assert seen[1].path == "/api/v1/events/stream?app=web&type=config&since_id=7"


def test_the_end_of_the_app_ends_the_command() -> None:
    """With a note on standard error; an app that is not there is exit code 4."""
    answers = [stream(data(line(1, "last")), close(1000))]
    with nodes(lambda _: answers[0]) as (stub,), \
            start("logs", "web", "-f", "-u", stub.url) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "web-1 | last\n", "The app was removed.\n")
    with nodes(lambda _: error(404, "APP_NOT_FOUND")) as (stub,), \
            start("logs", "none", "-f", "-u", stub.url) as process:
        process.communicate(timeout=60)
    assert process.returncode == 4


def test_the_end_of_a_run_ends_the_command() -> None:
    """With how it ended; one that is over is not followed, and what is missing is told."""
    run = {"id": 7, "container": "web-run-7", "status": "running", "reason": None}
    over = {**run, "status": "failed", "reason": "exited with code 3"}
    runs = [run, over, over]
    kept = {"container": "web-run-7", "reason": "its container is gone"}

    def says(one: Seen) -> Says:
        if one.path.endswith("/runs/7"):
            return Says(200, runs.pop(0))
        assert "container=web-run-7" in one.path
        if "/stream" in one.path:
            return stream(data({**line(1, "last"), "container": "web-run-7"}), close(1000))
        return Says(200, {"app_name": "web", "logs": [], "unavailable": [kept]})

    with nodes(says) as (stub,):
        for wanted in (("web-run-7 | last\n", "Run 7 of web: failed: exited with code 3\n"),
                       ("", "web-run-7: its container is gone\n")):
            with start("logs", "web", "--run", "7", "-f", "-u", stub.url) as process:
                assert process.communicate(timeout=60) == wanted
            assert process.returncode == 0
        with start("logs", "web", "--run", "7", "-c", "web-1", "-u", stub.url) as process:
            process.communicate(timeout=60)
        assert process.returncode == 2


def test_every_type_of_event_can_be_asked_for() -> None:
    """The command knows those of the API."""
    of_the_api, _ = get_args(EventsQuery.model_fields["type"].annotation)
    assert get_args(of_the_api) == EVENT_TYPES
