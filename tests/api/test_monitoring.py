"""The dashboard and the alert rules ask only for what is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from cluster.consensus.log import PeerStatus, RaftStatus
from tests.api.support import SPEC, make
from tests.api.test_scaling import measure

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
NAME = re.compile(r"\borchestry_[a-z0-9_]+")


def told() -> set[str]:
    """Names of all series of a leader with an app."""
    node, _, client = make()
    node.local.status = lambda: RaftStatus(  # type: ignore[method-assign]
        "leader", 1, 1, 1, "one", True, {"two": PeerStatus(True, 1)})
    client.post("/api/v1/apps/register", json=SPEC)
    client.post("/api/v1/apps/shop/start", json={"wait": False})
    node.report("shop", "healthy")
    measure(node)
    text = client.get("/metrics").get_data(as_text=True)
    return {
        sample.name for family in text_string_to_metric_families(text)
        for sample in family.samples
    } | {family.name for family in text_string_to_metric_families(text)} | {
        f"{family.name}_total" for family in text_string_to_metric_families(text)
        if family.type == "counter"}


def test_every_series_that_is_asked_for_exists() -> None:
    """In the dashboard and in the rules; and both ask for the most of what there is."""
    known = told()
    dashboard = (FOLDER / "grafana-dashboard.json").read_text()
    alerts = (FOLDER / "alerts.yaml").read_text()
    asked = {name for text in (dashboard, alerts) for name in NAME.findall(text)}
    assert len(asked) >= 20
    assert asked <= known, sorted(asked - known)


def test_dashboard_and_rules_are_whole() -> None:
    """Each panel has a question, and each alert says what to do."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert all({"summary", "action"} <= rule["annotations"].keys() for rule in rules)
    assert all(rule["labels"]["severity"] in ("critical", "warning") for rule in rules)
    assert len({rule["alert"] for rule in rules}) == len(rules)
