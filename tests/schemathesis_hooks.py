"""Hooks of Schemathesis: what keeps the cluster whole, and what a schema cannot say.

Loaded by `st run` through SCHEMATHESIS_HOOKS; see tests/acceptance/test_schemathesis.py.
"""

from __future__ import annotations

import atexit
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import requests
import schemathesis
from schemathesis.core import NotSet
from schemathesis.openapi.checks import (
    AllowHeaderMismatch,
    RejectedPositiveData,
    UnsupportedMethodResponse,
)
from schemathesis.transport.requests import SameHostRedirectsSession

MEMBERS = tuple(filter(None, os.environ.get("CONTRACT_MEMBERS", "").split(",")))
LEADER = os.environ.get("CONTRACT_LEADER", "")
APPS = tuple(filter(None, os.environ.get("CONTRACT_APPS", "").split(",")))
FOLLOW = os.environ.get("CONTRACT_REDIRECTS") == "followed"
COUNTS = Path(os.environ.get("CONTRACT_COUNTS", os.devnull))
WAIT_S = 1

_CONFIG = (
    "must be a whole number|must name at least one key|must be a lower-case domain|"
    "must be an IP address|must be a repository like|must be a host like"
)
_POLICY = (
    r"must be a whole number|"  # 3.0 is none in a policy, as in a spec
    r"must be above scale_in_threshold_pct|must be at least min_replicas|"
    r"must be text of 0 to 256|must be a time zone like|"  # see orchestry.spec.grammar.SCHEMAS
    r"must be a known time zone|must have a (minute|hour|day|month|weekday) from"
)
STATE_OR_RULE = {
    "get_app_logs": ("container|follow", "names no replica of application|needs a WebSocket"),
    "system_metrics": ("node", "is none of"),
    "transfer_leadership": ("to", "is not a member"),
    "add_member": (
        "raft_address", "is no loopback address|is on another machine|from 1 to 65535"),
    **dict.fromkeys(("update_scaling_policy", "compat_policy"), (".*", _POLICY)),
    "update_config": (".*", _CONFIG),
    # Schemathesis upgrades nothing, and asks for no events: tests/api/test_streams.py does.
    **dict.fromkeys(("stream_events", "stream_metrics", "stream_logs", "stream_deployment"), (
        "Accept|container", "is a stream|names no replica of application")),
    "exec_app": ("Upgrade", "is a WebSocket"),
    "simulate_scaling": (
        ".*", _POLICY + "|must be after the one before|There is no measurement to run"),
    # What is in a part hangs together: numbers, specs as text, policies.
    "restore_part": (r"part.*|spec.*|metadata.*|apiVersion|kind|scaling.*|", ".*"),
    # Rules between keys, sizes in bytes, quantities between bounds: see orchestry.spec.schema.
    **dict.fromkeys(("register_app", "update_app", "compat_register"), (".*", ".*")),
    "set_registry_login": ("registry_host", "is among those that this cluster allows"),
    "run_app": ("command.*", "must have at most"),
    "apply_release": (r"specs\[.*", ".*"),
}
"""Operation -> (field, message) of refusals that depend on the state, or on a rule over several
values. JSON Schema can say neither, so that a request may fit it and be refused with a 400."""

NO_INTEGER = "Input should be a valid integer"
"""JSON Schema takes 3.0 for an integer; a body must not: tests/api/test_bad_input.py."""

if FOLLOW:
    # Schemathesis leaves a redirect to another port alone, for the sake of credentials, of which
    # there are none here; that is where the leader is.
    SameHostRedirectsSession.get_redirect_target = (  # type: ignore[method-assign]
        requests.Session.get_redirect_target)

_counts: Counter[str] = Counter()


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Hold answers against exactly what is described: a key that is not named is a failure.

    Clients are told that keys may be added, so the document itself leaves objects open.
    """
    for name, schema in raw_schema["components"]["schemas"].items():
        if "properties" in schema and not name.endswith("Body"):
            schema.setdefault("additionalProperties", False)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Keep the cluster whole and the waits short; whatever is wrong in a request stays wrong."""
    kwargs["allow_redirects"] = FOLLOW
    operation = _operation(case)
    index = str((case.query or {}).get("min_index"))
    if index.isdecimal() and 0 < int(index) <= 2**62:
        case.query["min_index"] = 1  # one that is far ahead waits 5 s: tests/api/test_reads.py
    if operation in ("start_app", "scale_app", "compat_up", "compat_scale"):
        _wait_shortly(case)
    elif operation == "transfer_leadership" and _is_sound_transfer(case.body):
        # Leadership that goes round with every request tests elections, not the contract.
        case.body, case.media_type = {"to": LEADER}, "application/json"
    elif operation == "update_config" and isinstance(case.body, dict):
        limits = case.body.get("limits")
        if isinstance(limits, dict):
            # A limit that is set is one for this very run: only off is tried.
            case.body = {**case.body, "limits": {
                name: 0 if type(value) is int and 0 <= value <= 10**9 else value
                for name, value in limits.items()}}
    elif operation == "remove_member" and case.path_parameters.get("node_id") in MEMBERS:
        case.path_parameters["node_id"] = "controller-gone"
    elif operation in ("remove_app", "compat_delete") \
            and case.path_parameters.get("app_name") in APPS:
        case.path_parameters["app_name"] = "nobody"  # the others are for all operations


def _wait_shortly(case: Any) -> None:
    """Nothing gets healthy on the fake engine: a sound wait ends after a second."""
    body = {} if isinstance(case.body, NotSet) else case.body
    if isinstance(body, dict):
        timeout = body.get("timeout", 300)
        if type(timeout) is int and 1 <= timeout <= 3600:
            case.body = {**body, "timeout": WAIT_S}
            case.media_type = case.media_type or "application/json"


def _is_sound_transfer(body: Any) -> bool:
    return isinstance(body, NotSet) or (
        isinstance(body, dict) and not body.keys() - {"to"}
        and (body.get("to") is None or body["to"] in MEMBERS))


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """False for a refusal that no schema could have told; see STATE_OR_RULE."""
    if _operation(case) in ("register_app", "compat_register"):
        # GET and DELETE of /api/v1/apps/register are about an application called `register`.
        if isinstance(failure, UnsupportedMethodResponse):
            return failure.method not in ("GET", "DELETE")
        if isinstance(failure, AllowHeaderMismatch):
            return bool(failure.missing_methods) or not {
                "DELETE", "GET"}.issuperset(failure.undocumented_methods)
    if not isinstance(failure, RejectedPositiveData):
        return True
    field, message = STATE_OR_RULE.get(_operation(case), ("", ""))
    error = response.json()
    if error["code"] not in ("VALIDATION_ERROR", "INVALID_SPEC"):
        return True
    details = error["details"]
    if isinstance(details, str):
        return not message or re.match(message, details) is None
    return not all(
        one["message"] == NO_INTEGER
        or (message and re.fullmatch(field, one["field"]) and re.search(message, one["message"]))
        for one in details)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count what was asked, and how it was answered."""
    _counts[f"{_operation(case)} {response.status_code}"] += 1


def _operation(case: Any) -> str:
    return str(case.operation.definition.raw["operationId"])


@atexit.register
def _report() -> None:
    COUNTS.write_text(json.dumps(_counts))
