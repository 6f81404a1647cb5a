"""What the SDK raises: one tree under `OrchestryError`."""

from __future__ import annotations

from collections.abc import Mapping

from orchestry.errors import OrchestryError

NOT_REACHABLE = "NOT_REACHABLE"
NO_ANSWER = "NO_ANSWER"
"""Controllers take connections, and do not answer."""


class ClientError(OrchestryError):
    """Base of every error of a call.

    `code` is the wire's own string, since a newer cluster may send codes that this client
    does not know; `details` is as the cluster sent it; `status` and `request_id` are None
    when no controller answered.
    """

    code: str  # type: ignore[assignment]

    def __init__(
        self,
        code: str,
        message: str,
        details: object = None,
        *,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        Exception.__init__(self, f"{message}: {details}" if details else message)
        self.code = code
        self.message = message
        self.details = details
        self.status = status
        self.request_id = request_id

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.message, self.details), self.__dict__


class ApiError(ClientError):
    """The cluster answered with an error, and asking again would not help."""


class InvalidRequest(ApiError):
    """The cluster refuses the request as it is; `details` names the faulty fields."""


class Forbidden(ApiError):
    """No token, a wrong one, or one that does not allow this."""


class NotFound(ApiError):
    """There is no such app."""


class Conflict(ApiError):
    """The request contradicts the present state: a duplicate, or another change under way."""


class RateLimited(ApiError):
    """Too many requests for the time that the call may take; `retry_after_s` is how many more."""

    retry_after_s: float | None = None


class TimedOut(ClientError):
    """Time ran out; the operation may have been carried out, or still goes on."""


class NotReachable(ClientError):
    """No controller could be reached, or none answered a read; nothing was carried out."""


class NoLeader(ClientError):
    """Controllers answer, but they have no leader that could write."""


_BY_STATUS: Mapping[int, type[ClientError]] = {
    400: InvalidRequest,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    429: RateLimited,
    504: TimedOut,
}
_BY_CODE: Mapping[str, type[ClientError]] = {
    "CLUSTER_NOT_READY": NoLeader,
    "NO_LEADER": NoLeader,
}


def from_answer(
    status: int, body: Mapping[str, object], headers: Mapping[str, str]
) -> ClientError:
    """The exception for an error answer; `body` may be empty, as from a proxy."""
    code = str(body.get("code") or f"HTTP_{status}")
    message = str(body.get("error") or f"HTTP status {status} without a readable error body")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ApiError)
    error = kind(code, message, body.get("details"), status=status,
                 request_id=headers.get("X-Request-Id"))
    if isinstance(error, RateLimited):
        error.retry_after_s = seconds(headers.get("Retry-After"))
    return error


def seconds(text: str | None) -> float | None:
    """The value of `Retry-After`; None for anything but a whole number."""
    return float(text) if text and text.isascii() and text.isdigit() else None
