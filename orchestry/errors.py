"""The error catalogue: every code a user can meet, with its HTTP status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One catalogue entry; `retryable` says that the same request may succeed later."""

    code: str
    http_status: int
    retryable: bool
    title: str
    remedy: str


class Code(Enum):
    """Every error of the REST API, the CLI and the SDKs."""

    APP_NOT_FOUND = ErrorKind(
        "APP_NOT_FOUND", 404, False, "Application not found",
        "List the applications with `orchestry list`.",
    )
    APP_ALREADY_EXISTS = ErrorKind(
        "APP_ALREADY_EXISTS", 409, False, "Application already registered",
        "Choose another name, or delete the application first.",
    )
    INVALID_SPEC = ErrorKind(
        "INVALID_SPEC", 400, False, "Invalid application specification",
        "Correct every field listed under `details`.",
    )
    INVALID_CHART = ErrorKind(
        "INVALID_CHART", 400, False, "Invalid chart, or values that do not fit it",
        "Correct every fault listed under `details`; docs/charts.md describes charts.",
    )
    VALIDATION_ERROR = ErrorKind(
        "VALIDATION_ERROR", 400, False, "Request validation failed",
        "Correct every field listed under `details`.",
    )
    SCALING_IN_PROGRESS = ErrorKind(
        "SCALING_IN_PROGRESS", 409, True, "Scaling operation in progress",
        "Wait until the application has its replicas, or stop it.",
    )
    INSUFFICIENT_RESOURCES = ErrorKind(
        "INSUFFICIENT_RESOURCES", 503, False, "Not enough system resources",
        "Lower `spec.resources`, or add memory or processors to the host.",
    )
    DOCKER_ERROR = ErrorKind(
        "DOCKER_ERROR", 500, True, "Docker daemon error",
        "Read the engine's reason under `details`.",
    )
    DATABASE_ERROR = ErrorKind(
        "DATABASE_ERROR", 500, True, "Database connection error",
        "Check the history database.",
    )
    RATE_LIMIT_EXCEEDED = ErrorKind(
        "RATE_LIMIT_EXCEEDED", 429, True, "Rate limit exceeded",
        "Wait for the time in `Retry-After`.",
    )
    NOT_LEADER = ErrorKind(
        "NOT_LEADER", 307, True, "Request must be sent to leader node",
        "Follow the `Location` header.",
    )
    CLUSTER_NOT_READY = ErrorKind(
        "CLUSTER_NOT_READY", 503, True, "No leader elected, cluster not ready",
        "Try again in a second; see `GET /cluster/status`.",
    )
    NO_LEADER = ErrorKind(
        "NO_LEADER", 503, True, "No leader elected",
        "Try again in a second; see `GET /cluster/status`.",
    )
    NOT_FOUND = ErrorKind(
        "NOT_FOUND", 404, False, "Not found",
        "Look at what there is; `GET /docs` has all endpoints.",
    )
    METHOD_NOT_ALLOWED = ErrorKind(
        "METHOD_NOT_ALLOWED", 405, False, "Method not allowed", "See the `Allow` header.",
    )
    PAYLOAD_TOO_LARGE = ErrorKind(
        "PAYLOAD_TOO_LARGE", 413, False, "Request body too large", "Send at most 1 MiB.",
    )
    UNSUPPORTED_MEDIA_TYPE = ErrorKind(
        "UNSUPPORTED_MEDIA_TYPE", 415, False, "Unsupported media type",
        "Send `Content-Type: application/json`.",
    )
    UNAUTHORIZED = ErrorKind(
        "UNAUTHORIZED", 401, False, "Authentication required", "Send a valid token.",
    )
    FORBIDDEN = ErrorKind(
        "FORBIDDEN", 403, False, "Not allowed", "Ask an administrator of the cluster.",
    )
    CONFLICT = ErrorKind(
        "CONFLICT", 409, False, "The present state does not allow it",
        "Do as the details say, or read the present state and try again.",
    )
    INTERNAL_ERROR = ErrorKind(
        "INTERNAL_ERROR", 500, True, "Internal error",
        "Look for the request id in the controller's log.",
    )
    TIMEOUT = ErrorKind(
        "TIMEOUT", 504, True, "Timed out; the operation goes on",
        "Follow it with `orchestry status NAME --watch`.",
    )
    UNKNOWN_OUTCOME = ErrorKind(
        "TIMEOUT", 504, True, "The outcome of the write is unknown",
        "Repeat the request with the same `Idempotency-Key`.",
    )
    NO_HEALTHY_REPLICA = ErrorKind(
        "NO_HEALTHY_REPLICA", 503, True, "No healthy replica of the application",
        "Try again in a second; see `orchestry status NAME`.",
    )
    REPLICA_FAILED = ErrorKind(
        "REPLICA_FAILED", 502, True, "The application's replica did not answer",
        "Try again; see `orchestry status NAME`.",
    )
    REPLICA_TIMEOUT = ErrorKind(
        "REPLICA_TIMEOUT", 504, True, "The application's replica took too long",
        "See `orchestry logs NAME`; the request may have been processed.",
    )
    STALE_EPOCH = ErrorKind(
        "STALE_EPOCH", 409, True, "The proposer no longer leads", "Send it to the leader.",
    )


class OrchestryError(Exception):
    """Base of every error raised on purpose; `details` goes to the user as it is."""

    def __init__(self, code: Code, details: object = None) -> None:
        super().__init__(f"{code.value.title}: {details}" if details else code.value.title)
        self.code = code
        self.details = details
