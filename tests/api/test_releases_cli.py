"""`orchestry chart install` and what follows, against a real API process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestry.cli import main
from tests.api.process import ready
from tests.unit.chart.test_engine import write

Captured = pytest.CaptureFixture[str]
CHART = {
    "Chart__yaml": "apiVersion: v1\nname: web\nversion: 1.0.0\nkind: app\n",
    "values__yaml": "image: web:1\napps: [front, back]\n",
    "templates--app__yaml__j2": "{% for name in values.apps %}\n---\napiVersion: v1\nkind: App\n"
    "metadata:\n  name: {{ name }}\nspec:\n  image: {{ values.image | quote }}\n"
    "  ports: [{containerPort: 80}]\n{% endfor %}\n",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A controller whose applications become what they are wanted to be."""
    with ready(LOOPS="1", APPS="0") as node:
        yield f"http://127.0.0.1:{node.port}"


@pytest.fixture
def chart(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A chart of two apps."""
    monkeypatch.setenv("ORCHESTRY_URL", url)
    return str(write(tmp_path / "chart", **CHART))


def test_the_life_of_a_release(chart: str, capsys: Captured) -> None:
    """Installed and waited for, shown before it is changed, changed, taken back, removed."""
    assert main(["chart", "install", "site", chart]) == 0
    assert capsys.readouterr().out == (
        "site: is at revision 1\n+ back: created\n+ front: created\n")
    change = ["chart", "upgrade", "site", chart, "--set", "image=web:2", "--set",
              'apps=["front"]', "--no-wait"]
    assert main([*change, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("site: would be at revision 2\n- back: removed\n~ front: updated\n")
    assert "    -  image: web:1\n    +  image: web:2\n" in shown
    assert main([*change, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["revision"], document["ready"]) == (2, None)
    assert main(["chart", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["site", "2", "web", "1.0.0"]
    more = ["--reuse-values", "--set", "image=web:3", "--no-wait"]
    assert main(["chart", "upgrade", "site", chart, *more]) == 0
    assert main(["--json", "chart", "diff", "site"]) == 0
    captured = capsys.readouterr().out
    document = json.loads(captured[captured.index("{"):])
    assert [row["app"] for row in document["changes"]] == ["front"]
    assert document["values"] == {"image": "web:3", "apps": ["front"]}
    assert main(["chart", "rollback", "site", "2", "--no-wait"]) == 0
    assert "site: is at revision 4\n~ front: updated\n" in capsys.readouterr().out
    assert main(["chart", "history", "site"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["REVISION", "1", "2", "3", "4"]
    assert "Rolled back to revision 2" in rows[4]
    assert main(["chart", "uninstall", "site"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["chart", "uninstall", "site", "--yes"]) == 0
    assert capsys.readouterr().out == "site: uninstalled, apps: front\n"
    assert main(["chart", "history", "site"]) == 4


def test_what_is_refused(chart: str, tmp_path: Path, capsys: Captured) -> None:
    """A release that is there or is not, a chart of files, a name that is none."""
    assert main(["chart", "upgrade", "none", chart]) == 4
    assert "no release 'none'" in capsys.readouterr().err
    assert main(["chart", "upgrade", "--install", "other", chart, "--no-wait", "--set",
                 'apps=["solo"]']) == 0
    assert main(["chart", "install", "other", chart]) == 1
    assert "upgrade it" in capsys.readouterr().err
    assert main(["chart", "install", "more", chart, "--set", 'apps=["solo"]']) == 1
    assert "belongs to release 'other'" in capsys.readouterr().err
    files = write(tmp_path / "files", **{"templates--a__txt": "x\n"})
    assert main(["chart", "install", "more", str(files)]) == 1
    assert "renders files, no apps" in capsys.readouterr().err
