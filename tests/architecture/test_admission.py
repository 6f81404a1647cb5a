"""No route gets an app past what administrators allow, and none shows a spec unmasked."""

from __future__ import annotations

from tests.architecture.files import name, sources

EXEMPT = {
    "api/admission.py",
    "api/routes/backup.py",  # of admins, who could as well change the limits
}
NEEDS = {
    "parse_app(": "must_be_allowed(",
    "StartApp(": "image_must_be_allowed(",
    "ScaleApp(": "image_must_be_allowed(",  # which starts what does not run
    "app.document.encode(": "as_registered(",
    "parse.resolved(": "as_shown(",
}
"""What a module of the API calls, and what it then has to call as well."""


def test_what_administrators_allow_is_asked_everywhere() -> None:
    """Each module that reads, starts or shows a spec also asks what it may."""
    found: dict[str, set[str]] = {call: set() for call in NEEDS}
    missing = []
    for path in sources(".py", folders=("api",)):
        text = path.read_text()
        for call, need in NEEDS.items():
            if call in text:
                found[call].add(name(path))
                if need not in text and name(path) not in EXEMPT:
                    missing.append(f"{name(path)} calls {call}…) and not {need}…)")
    assert missing == []
    assert found["parse_app("] > {"api/routes/backup.py"}
    assert found["StartApp("]
    assert found["ScaleApp("]
