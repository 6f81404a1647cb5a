"""Blueprint: routes that are described only when somebody asks for the description."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from types import FunctionType
from typing import Any

from flask_openapi.blueprint import APIBlueprint
from flask_openapi.openapi import OpenAPI

_lock = Lock()


class Blueprint(APIBlueprint):
    """flask-openapi's, but it computes no JSON schema while the module is imported.

    A controller that starts again serves at once; the schemas of all routes take half a second.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._waiting: list[tuple[str, FunctionType, dict[str, Any]]] = []

    def _collect_openapi_info(self, rule: str, func: Any, **described: Any) -> Any:
        self._waiting.append((rule, func, described))
        return (None,) * 6  # `checked` validates

    def describe(self) -> None:
        """Make the description of what was added since."""
        waiting, self._waiting = self._waiting, []
        for rule, func, described in waiting:
            super()._collect_openapi_info(rule, func, **described)


def document_of(app: OpenAPI) -> dict[str, Any]:
    """The OpenAPI document of all blueprints of `app`, as JSON values."""
    parts: Iterable[Any] = app.blueprints.values()
    with _lock:
        for part in parts:
            if isinstance(part, Blueprint):
                part.describe()
                known = {tag.name for tag in app.tags}
                app.tags += [tag for tag in part.tags if tag.name not in known]
                app.paths.update(part.paths)
                app.components_schemas.update(part.components_schemas)
        return dict(app.api_doc)
