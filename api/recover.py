"""`orchestry cluster recover`: the program behind it, which works on a stopped controller."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.consensus.errors import ConsensusError
from cluster.consensus.rescue import Known, Rescue


def main(arguments: Sequence[str] | None = None) -> int:
    """Show what is known, and go on alone when that is confirmed."""
    options = _parser().parse_args(arguments)
    try:
        rescue = Rescue(options.data_dir)
    except (ConsensusError, OSError) as error:
        print(f"orchestry cluster recover: {error}", file=sys.stderr)  # noqa: T201
        if options.json:
            print(json.dumps(  # noqa: T201
                {"error": str(error), "details": None, "code": "FAILED"}, indent=2))
        return 1
    try:
        known = rescue.known
        print(json.dumps(_facts(known)) if options.json else _plan(known))  # noqa: T201
        if options.plan or known.alone:
            return 0
        if not options.yes and not _confirmed(known, as_json=options.json):
            print("Nothing was changed.", file=sys.stderr)  # noqa: T201
            return 1
        rescue.go_alone(time.time_ns() // 1_000_000)
    except OSError as error:
        print(f"orchestry cluster recover: {error.strerror}; free space in "  # noqa: T201
              f"{options.data_dir}, and try again", file=sys.stderr)
        return 1
    finally:
        rescue.close()
    if not options.json:
        print(f"{known.node_id} is the only member now. Start it, then add others:\n"  # noqa: T201
              "  orchestry cluster add NODE_ID RAFT_ADDRESS")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orchestry cluster recover")
    parser.add_argument("--data-dir", type=Path, required=True)
    for flag in ("--plan", "--yes", "--json"):
        parser.add_argument(flag, action="store_true")
    return parser


def _confirmed(known: Known, *, as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        print("Give --yes to go on without a question.", file=sys.stderr)  # noqa: T201
        return False
    return input(f"Type {known.node_id} to make it the only member: ").strip() == known.node_id


def _facts(known: Known) -> dict[str, Any]:
    lead = known.state.leadership
    return {
        "node_id": known.node_id, "cluster_id": known.cluster_id,
        "members": dict(known.members), "raft_term": known.term,
        "snapshot_index": known.snapshot_index, "commit_index": known.commit_index,
        "last_index": known.last_index, "apps": sorted(known.state.apps),
        "epoch": lead.epoch, "last_leader": lead.holder,
        "last_renewed_at_ms": lead.renewed_at_ms, "already_alone": known.alone,
    }


def _plan(known: Known) -> str:
    lead, tail = known.state.leadership, known.last_index - known.commit_index
    others = sorted(set(known.members) - {known.node_id})
    seen = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(lead.renewed_at_ms / 1000))
    rows = [
        f"Cluster {known.cluster_id}, as {known.node_id} knows it",
        f"  members        {', '.join(sorted(known.members))}",
        f"  apps           {len(known.state.apps)}",
        f"  log            to entry {known.last_index}, term {known.term}",
        f"  snapshot       to entry {known.snapshot_index}",
        f"  last leader    {lead.holder or 'none'}, epoch {lead.epoch}, last heard at {seen}",
    ]
    if known.alone:
        return "\n".join([*rows, f"{known.node_id} is the only member already: just start it."])
    return "\n".join([
        *rows, "",
        "What may be lost",
        f"  Writes that {' and '.join(others)} acknowledged after entry {known.last_index}:",
        "  they never came here, and nobody can tell how many there were.",
        f"  The last {tail} entries here are not known to be committed. They are kept, since the",
        "  lost controllers may have acknowledged them.",
        "",
        "What will be done",
        f"  {known.node_id} becomes the only member; containers keep running and are adopted.",
        f"  {' and '.join(others)} must never be started with an old disk again: as new members,",
        "  with empty folders, they are welcome.",
        "  The journal is kept beside the new one, until you remove it.",
    ])


if __name__ == "__main__":
    sys.exit(main())
