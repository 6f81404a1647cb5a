"""The REST contract, sentence by sentence: each names the tests that show it."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cluster.state.status import STATUSES
from orchestry.errors import Code

ROOT = Path(__file__).parents[2]
STATUS_OF = {
    "APP_NOT_FOUND": 404, "APP_ALREADY_EXISTS": 409, "INVALID_SPEC": 400,
    "SCALING_IN_PROGRESS": 409, "INSUFFICIENT_RESOURCES": 503, "DOCKER_ERROR": 500,
    "DATABASE_ERROR": 500, "VALIDATION_ERROR": 400, "RATE_LIMIT_EXCEEDED": 429,
    "NOT_LEADER": 307, "CLUSTER_NOT_READY": 503, "NO_LEADER": 503, "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405, "PAYLOAD_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNAUTHORIZED": 401, "FORBIDDEN": 403, "CONFLICT": 409, "INTERNAL_ERROR": 500,
    "TIMEOUT": 504,
}


def promises() -> list[dict[str, Any]]:
    """All of promises.toml."""
    found: list[dict[str, Any]] = tomllib.loads(
        Path(__file__).with_name("promises.toml").read_text())["promise"]
    return found


@cache
def functions_of(file: str) -> frozenset[str]:
    """The test functions of a file, read and not run."""
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(
        node.name for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise["says"][:50])
def test_each_names_tests_that_exist(promise: dict[str, Any]) -> None:
    """A renamed test leaves no promise without proof; `waits_for` is not beside tests."""
    assert ("tests" in promise) != ("waits_for" in promise)
    assert set(promise) <= {"says", "tests", "waits_for"}
    for test in promise.get("tests", ()):
        file, _, name = test.partition("::")
        assert functions_of(file), file
        assert not name or name in functions_of(file), test


def test_no_sentence_twice() -> None:
    """Each has its own tests."""
    says = [promise["says"] for promise in promises()]
    assert len(says) == len(set(says)) > 50


def test_codes_have_their_status() -> None:
    """The table of the contract, code by code."""
    for name, status in STATUS_OF.items():
        assert Code[name].value.code == name
        assert Code[name].value.http_status == status


def test_the_words_of_a_status() -> None:
    """Exactly the seven of the contract."""
    assert set(STATUSES) == {
        "registered", "starting", "running", "updating", "stopping", "stopped", "error"}
