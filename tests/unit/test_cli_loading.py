"""The command line loads what a command needs, and no more."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

from orchestry.cli import main
from orchestry.cli.app import HOMES


def test_every_command_of_every_module_is_listed_as_it_is() -> None:
    """The table from which commands are loaded names them all, each with its own help."""
    import orchestry.cli.commands as package

    found = {
        command.name: (module.name, command.get_short_help_str(limit=200))
        for module in pkgutil.iter_modules(package.__path__)
        for command in getattr(
            importlib.import_module(f"{package.__name__}.{module.name}"), "COMMANDS", ())
    }
    assert found == HOMES


def test_a_command_line_loads_one_command() -> None:
    """And `--help` none; neither loads what it does not need."""
    code = (
        "import sys; from orchestry.cli import main; main(sys.argv[1:]);"
        "print(sorted(name.rpartition('.')[2] for name in sys.modules"
        " if name.startswith('orchestry.cli.commands.')), 'requests' in sys.modules)")
    for line, loaded in (("--help", "[] False"), ("list --help", "['show'] False"),
                         ("init --help", "['start'] False")):
        done = subprocess.run([sys.executable, "-c", code, *line.split()], text=True,
                              capture_output=True, timeout=60, check=True)
        assert done.stdout.splitlines()[-1] == loaded


def test_without_controller_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An installation of the client alone says what to install."""
    monkeypatch.setattr("orchestry.cli.commands.local._CONTROLLER_PARTS", ("api", "no_such_part"))
    assert main(["dev"]) == 1
    assert "no_such_part" in (printed := capsys.readouterr().err)
    assert "orchestry[controller]" in printed
