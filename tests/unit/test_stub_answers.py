"""The stubs of these tests answer as the API does."""

from __future__ import annotations

import pytest

from tests.unit.stub_answers import ANSWERS
from tests.unit.whole_answers import faults


@pytest.mark.parametrize(("method", "path"), ANSWERS)
def test_a_stub_does_not_lie(method: str, path: str) -> None:
    """Each answer is one that the models of the API allow, with all that they demand."""
    assert faults(method, path, ANSWERS[method, path]) == []


def test_a_lie_is_found() -> None:
    """What is missing, of a wrong type, or not there at all."""
    path = "/api/v1/apps/web/scale"
    good = ANSWERS["POST", path]
    assert faults("POST", path, {**good, "current_replicas": "5"})
    assert faults("POST", path, {key: good[key] for key in good if key != "scaling_time"})
