"""Write docs/errors.md from the error catalogue: `python tools/gen_errors.py`."""

# ruff: noqa: E501 - the pages have one sentence a line

from __future__ import annotations

from pathlib import Path

from orchestry.errors import Code

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

HEAD = """\
# Errors

<!-- Written by tools/gen_errors.py; do not edit. -->

Every failure of the API has the same body, whatever its cause:

```json
{
  "error": "Application not found",
  "details": "Application 'shop' does not exist",
  "code": "APP_NOT_FOUND",
  "timestamp": "2026-01-15T10:30:00.000Z"
}
```

`details` is a text, null, or a list of `{"field", "message"}` that names every fault at once.
A write of which nobody knows whether it took effect has `{"outcome": "unknown", "idempotency_key": KEY}` there: send the same request again with `Idempotency-Key: KEY`.
"Again" says that the same request may succeed later.

| code | status | meaning | what to do | again |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{kind.code}` | {kind.http_status} | {kind.title} | {kind.remedy} |"
        f" {'yes' if kind.retryable else 'no'} |\n"
        for kind in (code.value for code in Code)
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
