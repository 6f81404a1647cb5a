"""Configuration: what holds on this controller, and changes of it for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response

from api import answers_config as answers
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, config_of, here, read
from api.models import ConfigBody, ReadQuery, WriteHeaders, WriteQuery
from api.writes import propose
from cluster.config.effective import Config, default_of, shown
from cluster.config.keys import BY_PATH, DOMAIN, changes_of
from cluster.state.commands import SetConfig
from orchestry import __version__

blueprint = Blueprint(
    "config", __name__, url_prefix="/api/v1/config",
    abp_tags=[{"name": "System"}],
)


@blueprint.get("", operation_id="get_config", responses={200: answers.Configuration})
@checked
def config(query: ReadQuery) -> Response:
    """Every key with its value and its source; secrets are masked.

    Keys that are each controller's own show the values of the one that answers.
    `restart_required` are those of which it takes the present value when it starts again.
    """
    found = config_of(read(query))
    return answer({
        "version": __version__, "node_id": here().controller.id, **shown(found.values),
        "sources": found.sources, "restart_required": _pending(found),
    })


def _pending(found: Config) -> list[str]:
    in_use = here().controller.history.pool_size
    return ["database.pool_size"] if in_use not in (None, found.pool_size) else []


@blueprint.put("", operation_id="update_config", responses={200: answers.ConfigurationUpdated})
@checked
def update(query: WriteQuery, header: WriteHeaders, body: ConfigBody) -> Response:
    """Change the keys that are named, on all controllers; null takes a change back."""
    changes = changes_of(body.model_extra or {})
    settings, domain = here().controller.settings, ""
    if DOMAIN in dict(changes):
        domain = dict(changes)[DOMAIN] or settings.ingress_domain
    applied = propose(SetConfig(changes, domain))
    before, after = orjson.loads(applied.get("before")), orjson.loads(applied.get("after"))
    return answer({
        "message": "Configuration updated successfully",
        "changed": _filled(after), "previous": _filled(before),
        "restart_required": [
            path for path in after
            if after[path] != before[path] and BY_PATH[path].when == "restart"
        ],
    })


def _filled(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    settings = here().controller.settings
    return shown({
        path: default_of(BY_PATH[path], settings)[0] if value is None else value
        for path, value in values.items()
    })
