"""One sample of every command, with a value other than the default in each field.

`python -m tests.unit.formats.samples` writes the golden files anew, after a change that was
meant; it refuses a field or a kind without a level. See docs/adr/0026-levels.md.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from immutables import Map

from cluster.state import codec, levels
from cluster.state import commands as c
from cluster.state.machine import apply
from cluster.state.memory import Memory, Outcome
from cluster.state.model import Canary, ClusterState, Receipt, Token
from cluster.state.outcome import Applied
from orchestry.errors import Code

FOLDER = Path(__file__).parent
COMMANDS = FOLDER / "commands.json"
STATE = FOLDER / "state.json"


def sample(kind: Any, name: str = "text") -> Any:
    """A value of a type; numbers and texts differ from all defaults."""
    plain: dict[Any, Any] = {str: name, int: 7, float: 2.5, bool: True, Any: "any"}
    if kind in plain:
        return plain[kind]
    if kind is Code:
        return Code.CONFLICT
    if kind is Memory:
        return Memory().remember(Outcome("request", "print", 7, Applied(7, Code.CONFLICT, "why")))
    if is_dataclass(kind):
        hints = codec._hints(kind)  # type: ignore[arg-type]
        return kind(**{  # type: ignore[operator]
            field: sample(hint, field) for field, (hint, _) in hints.items()})
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return args[-1]
    if origin in (Union, types.UnionType):
        return sample(next(arg for arg in args if arg is not type(None)), name)
    if origin is tuple:
        return tuple(sample(arg, name) for arg in args if arg is not Ellipsis)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Map({"key": sample(args[1], name)})
    raise TypeError(f"no sample of {kind}: add one here")


def parts(kind: Any) -> Iterator[type[Any]]:
    """The dataclasses that a type is made of, itself included."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint, _ in codec._hints(kind).values():
            yield from parts(hint)
    for arg in get_args(kind):
        yield from parts(arg)


def kinds() -> dict[str, type[Any]]:
    """Every kind of command by its name."""
    return {kind.__name__: kind for kind in get_args(c.Command)}


def written() -> dict[str, Any]:
    """All samples of commands and their stamp as text, and all fields with their levels."""
    stamp = sample(c.Stamp)
    found = {*parts(ClusterState), c.Stamp, *parts(c.Origin)}
    for kind in kinds().values():
        found.update(parts(kind))
    return {
        "entries": {name: codec.encode_envelope(sample(kind), stamp)
                    for name, kind in sorted(kinds().items())},
        "levels": {name: levels.KINDS[name] for name in sorted(kinds())},
        "fields": {f"{kind.__name__}.{field}": levels.FIELDS.get((kind.__name__, field), 1)
                   for kind in sorted(found, key=lambda kind: kind.__name__)
                   for field in codec._hints(kind)},
    }


LOG: tuple[tuple[c.Command, dict[str, Any]], ...] = (
    (c.BeginEpoch("n1", 1_500, "cluster"), {}),
    (c.ChangeMembers(0, (("n1", "h1:9000"), ("n2", "h2:9000"), ("n3", "h3:9000"))), {}),
    *((c.AnnounceController(name, f"http://{name}:8001", name, "1.0.0"), {})
      for name in ("n1", "n2", "n3")),
    (c.BindMember("n1", "folder"), {}),
    (c.RegisterApp("shop", '{"spec":{}}', 2, ("shop.localhost/",)), {"request_id": "r1"}),
    (c.RegisterApp("shop", '{"spec":{}}', 2, ("shop.localhost/",)), {"request_id": "r2"}),
    (c.StartApp("shop"), {"request_id": "r3"}),
    (c.ScaleApp("shop", 3, 60), {"request_id": "r4"}),
    (c.SetScaling("shop", '{"maxReplicas":9}'), {}),
    (c.SetConfig((("logs.level", "debug"),)), {}),
    (c.RecordEvent("health", "shop", "shop-1 is unhealthy", (("slot", 1),)), {}),
    (c.CreateToken(sample(Token)), {"origin": sample(c.Origin)}),
    (c.RevokeToken("nobody"), {"origin": sample(c.Origin)}),
    (c.RecordRefusals((sample(c.Refused),)), {}),
    (c.RegisterApp("gone", '{"spec":{}}', 1), {}),
    (c.DeleteApp("gone"), {}),
    (c.FinishDelete("gone", 17, 0), {"epoch": 1}),
    (c.RenewLease(1_500), {"epoch": 1}),
    (c.RenewLease(1_500), {"epoch": 9}),
    (c.UpdateApp("shop", '{"spec":{"image":"x:2"}}', "key", 1, ("shop.localhost/",)), {}),
    (c.StepRollout("shop", 22, 0, (1,), ((7, 1), (7, 2), (7, 3)), 0, 3, ("why",),
                   Canary(0, 22, 10, 5, "time")), {"epoch": 1}),
    (c.SteerRollout("shop", "promote"), {}),
    (c.KeepReceipt("shop", 22, sample(Receipt)), {"epoch": 1}),
    (c.EndRollout("shop", 22, "failed", "why", ("line",), roll_back=True, step=2),
     {"epoch": 1}),
    (c.RollBackApp("shop", 7), {}),
    (c.RestartApp("shop"), {}),
    (c.StopApp("shop", 5), {}),
    (c.SetSecret("db", 1, "k1", ("value",), "sealed"), {}),
    (c.SetSecret("db", 2, "k1", ("value",), "sealed again"), {}),
    (c.ResealSecret("db", 30, "k2", ((2, "resealed"),)), {}),
    (c.SetSecret("old", 1, "k1", ("value",), "sealed"), {}),
    (c.DeleteSecret("old"), {}),
    (c.RegisterApp("going", '{"spec":{}}', 1), {}),
    (c.DeleteApp("going"), {}),
    (c.NameVolumes("going", 34, 0, ("orchestry-going-data",)), {"epoch": 1}),
    (c.RemoveVolume("orchestry-gone-data", "gone"), {}),
    (c.RemoveVolume("orchestry-gone-old", "gone"), {}),
    (c.EndVolumeRemoval("orchestry-gone-old", 38, "it is in use"), {"epoch": 1}),
    (c.ChangeMembers(2, (("n1", "h1:9000"), ("n2", "h2:9000"))), {}),
)


def replayed() -> dict[str, Any]:
    """What LOG leads to."""
    state = ClusterState()
    for index, (command, more) in enumerate(LOG, 1):
        state, _ = apply(state, command, c.Stamp(1_000 + index, "n1", **more), index)
    found: dict[str, Any] = json.loads(codec.encode_snapshot(state))
    return found


def faults(golden: Mapping[str, Any]) -> list[str]:
    """Kinds and fields that are new, and have no level."""
    new_kinds = kinds().keys() - levels.KINDS.keys()
    known = golden.get("fields", {})
    old = {name.partition(".")[0] for name in known}
    later = [
        name for name in written()["fields"] if name not in known
        and name.partition(".")[0] in old and tuple(name.split(".")) not in levels.FIELDS
    ] if not new_kinds else []
    return [f"{name}: give it a level in cluster/state/levels.py"
            for name in (*sorted(new_kinds), *later)]


def text(document: Any) -> str:
    """A golden file."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main() -> int:
    """Write the golden files."""
    golden = json.loads(COMMANDS.read_text()) if COMMANDS.exists() else {}
    found = faults(golden)
    print("\n".join(found), end="\n" if found else "")
    if not found:
        COMMANDS.write_text(text(written()))
        STATE.write_text(text(replayed()))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
