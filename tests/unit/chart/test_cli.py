"""`orchestry chart`: what is printed, written and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestry.cli import main
from tests.architecture.files import ROOT
from tests.unit.chart.test_engine import write
from tests.unit.stub_cluster import Says, Seen, error, nodes

APPS = {
    "Chart__yaml": "apiVersion: v1\nname: web\nversion: 1.0.0\nkind: app\n",
    "values__yaml": "name: web\nimage: web:1\n",
    "values__schema__json": json.dumps({
        "properties": {"name": {"type": "string"}, "image": {"type": "string"}},
        "additionalProperties": False}),
    "templates--app__yaml__j2": "apiVersion: v1\nkind: App\nmetadata:\n"
    "  name: {{ values.name | quote }}\nspec:\n  image: {{ values.image | quote }}\n"
    "  ports: [{containerPort: 80}]\n",
}


def test_render_prints_or_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without -o the files are printed, with it written; --set beats -f, -f the defaults."""
    chart = str(write(tmp_path / "chart", **APPS))
    more = tmp_path / "more.yaml"
    more.write_text("image: web:2\nname: site\n")
    assert main(["chart", "render", chart, "-f", str(more), "--set", "image=web:3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# ==> app.yaml\napiVersion: v1\n")
    assert 'name: "site"' in printed
    assert 'image: "web:3"' in printed
    assert main(["chart", "render", chart, "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out: 1 files of web 1.0.0\n"
    assert 'image: "web:1"' in (tmp_path / "out/app.yaml").read_text()
    assert main(["--json", "chart", "render", chart]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["apps"] == ["web"]
    assert set(document["files"]) == {"app.yaml"}


def test_environments_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Files of environments hold secrets: nobody else reads them, old ones neither."""
    chart = str(write(tmp_path / "chart", **APPS, **{"templates--a__env": "S=1\n"}))
    old = tmp_path / "out/a.env"
    for _ in range(2):
        assert main(["chart", "render", chart, "-o", str(tmp_path / "out")]) == 0
        assert old.stat().st_mode & 0o777 == 0o600
        old.chmod(0o644)
    assert (tmp_path / "out/app.yaml").is_file()


def test_lint_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 and a line for a good chart; else 1, every fault and the next step; nothing written."""
    chart = str(write(tmp_path / "chart", **APPS))
    assert main(["chart", "lint", chart]) == 0
    assert capsys.readouterr().out == "web 1.0.0: valid, apps: web\n"
    assert main(["chart", "lint", chart, "--set", "name=3", "--set", "x=1"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "Error: Invalid chart, or values that do not fit it\n"
        "  name: must be string\n  x: is unknown; the keys are image, name\n"
        "Next: Correct every fault listed under `details`; docs/charts.md describes charts.\n")
    assert main(["--json", "chart", "lint", chart, "--set", "name=A B"]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["code"] == "INVALID_CHART"
    assert body["details"][0]["field"] == "app.yaml: metadata.name"


def test_values_that_one_may_not_know_are_not_reused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not change a release is told so, after an answer without its values."""
    def says(seen: Seen) -> Says:
        if seen.method == "GET":
            return Says(200, {"release": "web", "values": None})
        return error(403, "FORBIDDEN", "The token does not suffice")

    chart = str(write(tmp_path / "chart", **APPS))
    with nodes(says) as (node,):
        monkeypatch.setenv("ORCHESTRY_URL", node.url)
        assert main(["chart", "upgrade", "web", chart, "--reuse-values"]) != 0
    assert "The token does not suffice" in capsys.readouterr().err


def test_wrong_inputs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, a file of values or a --set that cannot be used: which one, and why."""
    chart = str(write(tmp_path / "chart", **APPS))
    (tmp_path / "latin").write_bytes(b"a: \xff")
    for arguments, expected in (
        ([str(tmp_path)], "Chart.yaml: cannot be read: No such file or directory"),
        ([str(tmp_path / "none")], "must be a folder that holds Chart.yaml"),
        ([chart, "-f", str(tmp_path / "gone")], f"{tmp_path}/gone: No such file"),
        ([chart, "-f", str(tmp_path / "latin")], "latin is not UTF-8 text (byte 3)"),
        ([chart, "--set", "a"], "--set: 'a' must look like"),
        ([chart, *["--set", "name=a"] * 33], "more than 32 of -f and --set"),
    ):
        assert main(["chart", "render", *arguments]) == 1
        assert expected in capsys.readouterr().err


def test_the_charts_of_the_project_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """Every chart in helm-like/ renders with its own values."""
    charts = sorted(path.parent for path in (ROOT / "helm-like").glob("*/Chart.yaml"))
    assert [path.name for path in charts] == ["cluster", "web-app"]
    for chart in charts:
        assert main(["chart", "lint", str(chart)]) == 0
    assert "valid" in capsys.readouterr().out
