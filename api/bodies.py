"""Request bodies: bounded, strict JSON, or YAML for a spec."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask import Request, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from api import errors
from orchestry.errors import Code, OrchestryError
from orchestry.manifest import DEPTH_MAX, ManifestError, load_documents

BODY_BYTES_MAX = 1024**2
# A part holds at least one whole spec, as escaped text; the log refuses what is too large.
PART_BODY_BYTES_MAX = 3 * 1024**2
_TOO_DEEP = "is nested too deeply"
_DEEP_IN_ORJSON = ("depth limit exceeded", "failed to allocate memory")
YAML = ("application/yaml", "application/x-yaml", "text/yaml")


class BoundedRequest(Request):
    """A request of which no more is read than is needed to see that its body is too large.

    Werkzeug cuts a chunked body at this limit in silence, so one byte more than allowed
    is read and counted in `_data`.
    """

    max_content_length = BODY_BYTES_MAX + 1


def read_json(bytes_max: int = BODY_BYTES_MAX) -> Any:
    """The JSON object of the request; None when it has no body.

    Raises:
        OrchestryError: UNSUPPORTED_MEDIA_TYPE or VALIDATION_ERROR.
    """
    data = _data(bytes_max)
    if not data:
        return None
    if request.mimetype != "application/json":
        raise _wrong_type("application/json")
    return _object(data)


def read_document() -> Any:
    """The spec of the request, from JSON or YAML.

    Raises:
        OrchestryError: UNSUPPORTED_MEDIA_TYPE, VALIDATION_ERROR or INVALID_SPEC.
    """
    data = _data()
    if request.mimetype == "application/json":
        return _object(data)
    if request.mimetype not in YAML:
        raise _wrong_type("application/json or application/yaml")
    try:
        documents = load_documents(data.decode())
    except UnicodeDecodeError:
        raise _invalid_spec("must be UTF-8 text") from None
    except ManifestError as error:
        raise _invalid_spec(str(error)) from None
    if len(documents) != 1:
        raise _invalid_spec(f"must be one document, not {len(documents)}")
    return documents[0]


def _data(bytes_max: int = BODY_BYTES_MAX) -> bytes:
    request.max_content_length = bytes_max + 1
    try:
        data = request.get_data(cache=True)
    except ClientDisconnected:
        raise _incomplete() from None
    if len(data) > bytes_max:
        raise RequestEntityTooLarge
    # gunicorn ends a body where the peer stopped; the first half of a spec is no spec.
    if len(data) < (request.content_length or 0):
        raise _incomplete()
    return data


def _incomplete() -> OrchestryError:
    return errors.invalid([("body", "is incomplete: the rest did not come in time")])


def _object(data: bytes) -> dict[str, Any]:
    """Strict JSON: no NaN, no repeated key, no lone surrogate, bounded depth, whole numbers kept.

    orjson checks syntax and depth first; the second reading sees repeated keys, and keeps
    numbers above 64 bits, which orjson turns into floats.
    """
    try:
        orjson.loads(data)
        value = json.loads(data, object_pairs_hook=_unique)
    except RecursionError:
        raise errors.invalid([("body", _TOO_DEEP)]) from None
    except ValueError as error:
        deep = str(error).startswith(_DEEP_IN_ORJSON)
        message = _TOO_DEEP if deep else f"is not valid JSON: {error}"
        raise errors.invalid([("body", message)]) from None
    if not isinstance(value, dict):
        raise errors.invalid([("body", "must be a JSON object")])
    if _is_deep(value):
        raise errors.invalid([("body", _TOO_DEEP)])
    return value


def _is_deep(value: dict[str, Any]) -> bool:
    level: list[dict[str, Any] | list[Any]] = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level
                 for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:64]!r} is given twice")
    return found


def _wrong_type(right: str) -> OrchestryError:
    found = request.mimetype[:100] or "none"
    return OrchestryError(
        Code.UNSUPPORTED_MEDIA_TYPE, f"Send Content-Type: {right}; the request has {found}"
    )


def _invalid_spec(message: str) -> OrchestryError:
    return OrchestryError(Code.INVALID_SPEC, [{"field": "", "message": message}])
