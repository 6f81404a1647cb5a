"""Strict grammars of the texts in an app spec.

Each function returns the text, or raises ValueError saying what would be right. None lets
a control character through, for these texts reach nginx, Docker and HTTP requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

NAME_CHARACTERS_MAX: Final = 63
IMAGE_NAME_CHARACTERS_MAX: Final = 255
IMAGE_CHARACTERS_MAX: Final = 512
HOST_CHARACTERS_MAX: Final = 253
INGRESS_PATH_CHARACTERS_MAX: Final = 1024
HEALTH_PATH_CHARACTERS_MAX: Final = 2048
HEADER_CHARACTERS_MAX: Final = 4096
FILE_PATH_CHARACTERS_MAX: Final = 1024
ENV_VALUE_BYTES_MAX: Final = 128 * 1024
BODY_BYTES_MAX: Final = 64 * 1024
ANNOTATIONS_BYTES_MAX: Final = 256 * 1024

RESERVED_NAMES: Final = frozenset({"orchestry"})
RESERVED_LABELS: Final = ("orchestry.", "orchestry/", "com.docker.")
FORBIDDEN_MOUNTS: Final = (
    "/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets", "/run/docker.sock",
    "/var/run/docker.sock",
)
HIDING_MOUNTS: Final = frozenset({
    "/bin", "/boot", "/etc", "/lib", "/lib64", "/run", "/sbin", "/usr", "/var/run",
    "/etc/hostname", "/etc/hosts", "/etc/resolv.conf",
})
"""A volume there would hide what the image or the engine has there."""

Grammar = Callable[[str], str]

SCHEMAS: Final[dict[Grammar, Mapping[str, Any]]] = {}
"""What JSON Schema says of a grammar: all that is accepted fits, some that fits is refused.

A pattern has no length beside it: who makes data from a schema tries both for ever.
"""

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# A first part is a registry only with a dot, a port, or as localhost; else it is a path.
_REGISTRY = (
    rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})+(?::[0-9]{{1,5}})?"
    rf"|{_DOMAIN_PART}:[0-9]{{1,5}}|localhost)"
)
_IMAGE = re.compile(
    rf"(?P<name>(?:{_REGISTRY}/)?{_PATH_PART}(?:/{_PATH_PART})*)"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
_PARENT = re.compile(r"//|/\.\.?(?:/|$)")
_CRON_RANGES = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                      "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    ("weekday", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)


def pattern(expression: str, most: int, remedy: str) -> Grammar:
    """Text of at most `most` characters that matches the whole expression."""
    compiled = re.compile(expression)

    def check(value: str) -> str:
        if len(value) > most or not compiled.fullmatch(value):
            raise ValueError(f"must be {remedy}, at most {most} characters")
        return value

    SCHEMAS[check] = {"pattern": f"^(?:{expression})$"}
    return check


dns_label = pattern(
    _LABEL, NAME_CHARACTERS_MAX,
    "lower-case letters, digits and dashes, with a letter or digit at both ends",
)
label_value = pattern(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", 63,
    "letters, digits, dashes, dots and underscores, with a letter or digit at both ends",
)
env_name = pattern(
    "[A-Za-z_][A-Za-z0-9_]*", 256, "letters, digits and underscores, no digit first"
)
secret_name = pattern(
    "[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?", 253, "a secret's name or field"
)
file_name = pattern(
    "[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", 128, "a file's name, without a folder"
)
header_name = pattern("[A-Za-z0-9!#$%&'*+.^_`|~-]+", 128, "an HTTP header name")
header_value = pattern(
    "[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|", HEADER_CHARACTERS_MAX,
    "printable ASCII without blanks at the ends",
)
health_path = pattern(
    "/[\x21\x22\x24-\x7e]*", HEALTH_PATH_CHARACTERS_MAX,
    "a path that begins with /, of visible ASCII without # and blanks",
)
user = pattern(
    r"(?:[a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})(?::(?:[a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}))?", 65,
    'a user like "1000", "1000:1000" or "nobody"',
)
timezone = pattern(
    r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", 64, 'a time zone like "Europe/Berlin"'
)
_label_key = pattern(
    r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?", 253,
    "letters, digits, dashes, dots, slashes and underscores",
)
_ingress_path = pattern(
    "/[A-Za-z0-9._~/-]*", INGRESS_PATH_CHARACTERS_MAX,
    "a path that begins with /, of letters, digits and . _ ~ / -",
)
_mount_path = pattern(
    r"/[A-Za-z0-9._@%+=~/-]*", FILE_PATH_CHARACTERS_MAX,
    "an absolute path of letters, digits and . _ @ % + = ~ - /",
)


def app_name(value: str) -> str:
    """A DNS label that is not reserved."""
    if dns_label(value) in RESERVED_NAMES:
        raise ValueError("is reserved: must be another name")
    return value


def label_key(value: str) -> str:
    """A label's key, outside the prefixes of the system."""
    if _label_key(value).startswith(RESERVED_LABELS):
        raise ValueError(f"is reserved: must not begin with {' or '.join(RESERVED_LABELS)}")
    return value


def line(most: int, least: int = 0) -> Grammar:
    """Text of `least` to `most` characters without control characters."""

    def check(value: str) -> str:
        if not least <= len(value) <= most or _CONTROL.search(value):
            raise ValueError(
                f"must be text of {least} to {most} characters without control characters"
            )
        return value

    SCHEMAS[check] = {"minLength": least, "maxLength": most}
    return check


def block(most_bytes: int) -> Grammar:
    """Text of at most `most_bytes` in UTF-8 that may have lines, but no NUL."""

    def check(value: str) -> str:
        if _UNWRITABLE.search(value) or len(value.encode()) > most_bytes:
            raise ValueError(f"must be text of at most {most_bytes} bytes without NUL")
        return value

    SCHEMAS[check] = {"maxLength": most_bytes}
    return check


def image(value: str) -> str:
    """An image reference, `[registry/]name[:tag][@sha256:digest]`.

    Source: distribution/reference, the grammar of the OCI distribution project.
    """
    match = _IMAGE.fullmatch(value) if len(value) <= IMAGE_CHARACTERS_MAX else None
    if match is None or len(match["name"]) > IMAGE_NAME_CHARACTERS_MAX:
        raise ValueError(
            'must be an image like "nginx:alpine" or "registry.example:5000/team/app@sha256:'
            f'<64 hex digits>", lower-case, its name at most {IMAGE_NAME_CHARACTERS_MAX} '
            "characters"
        )
    return value


def host(value: str) -> str:
    """A lower-case host name of RFC 1123; no address, wildcard or final dot."""
    labels = value.split(".")
    if (
        len(value) > HOST_CHARACTERS_MAX or not _HOST.fullmatch(value)
        or any(len(part) > NAME_CHARACTERS_MAX for part in labels) or labels[-1].isdigit()
    ):
        raise ValueError(
            'must be a host name like "shop.example.com": lower-case, no address, no wildcard, '
            f"no dot at the end, at most {HOST_CHARACTERS_MAX} characters"
        )
    return value


def ingress_path(value: str) -> str:
    """A path prefix, without empty, `.` and `..` segments."""
    return _normal(_ingress_path(value))


def mount_path(value: str) -> str:
    """An absolute, normal path in the container, outside the system's own folders."""
    _normal(_mount_path(value))
    if value.endswith("/"):
        raise ValueError("must be a folder below /, without a slash at the end")
    if any(value == root or value.startswith(f"{root}/") for root in FORBIDDEN_MOUNTS):
        raise ValueError(f"must be outside {', '.join(FORBIDDEN_MOUNTS)}")
    if value in HIDING_MOUNTS:
        raise ValueError(f"must not hide the system's own {value}: choose a folder below another")
    return value


def working_dir(value: str) -> str:
    """An absolute path in the container."""
    if not line(FILE_PATH_CHARACTERS_MAX)(value).startswith("/"):
        raise ValueError("must be an absolute path")
    return value


def cron(value: str) -> str:
    """Five fields of numbers, names, ranges, lists and steps.

    Source: crontab(5).
    """
    parts = line(256)(value).split(" ")
    if len(parts) != len(_CRON_RANGES):
        raise ValueError('must be five fields with single blanks, like "0 8 * * MON-FRI"')
    for part, (field, low, high, names) in zip(parts, _CRON_RANGES, strict=True):
        if not all(_is_cron_item(item, low, high, names) for item in part.split(",")):
            raise ValueError(f"must have a {field} from {low} to {high}, a range, or *")
    return value


def _is_cron_item(item: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    span, slash, step = item.partition("/")
    if slash and (not re.fullmatch("[0-9]{1,2}", step) or int(step) == 0):
        return False
    if span == "*":
        return True
    ends = []
    for end in span.split("-"):
        if end.upper() in names:
            ends.append(names.index(end.upper()) + low)
        elif re.fullmatch("[0-9]{1,2}", end) and low <= int(end) <= high:
            ends.append(int(end))
        else:
            return False
    return len(ends) == 1 or (len(ends) == 2 and ends[0] <= ends[1])


def _normal(value: str) -> str:
    if _PARENT.search(value):
        raise ValueError("must be a path without //, /./ and /../")
    return value


_NUMBER_OR_NAME = "(?:[0-9]{1,2}|[A-Za-z]{3})"
_CRON_ITEM = rf"(?:\*|{_NUMBER_OR_NAME}(?:-{_NUMBER_OR_NAME})?)(?:/[0-9]{{1,2}})?"
SCHEMAS.update({
    app_name: SCHEMAS[dns_label],
    label_key: SCHEMAS[_label_key],
    image: {"pattern": f"^{_IMAGE.pattern.replace('?P<name>', '?:')}$"},
    host: {"pattern": f"^{_HOST.pattern}$"},
    ingress_path: SCHEMAS[_ingress_path],
    mount_path: SCHEMAS[_mount_path],
    working_dir: {"pattern": "^/"},
    cron: {
        "pattern": f"^(?:{_CRON_ITEM}(?:,{_CRON_ITEM})* ){{4}}{_CRON_ITEM}(?:,{_CRON_ITEM})*$",
    },
})
