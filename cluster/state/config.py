"""Step that changes the configuration of the cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cluster.config.keys import DOMAIN
from cluster.state import commands as c
from cluster.state.addresses import addresses_of
from cluster.state.model import App, ClusterState, Revision, owners_of
from cluster.state.step import Refusal, Step, tell
from orchestry.errors import Code


def set_config(state: ClusterState, command: c.SetConfig, stamp: c.Stamp) -> Step:
    """Keep what differs from the controllers' settings; the proposer has checked the values."""
    before = {path: state.config.get(path) for path, _ in command.changes}
    config = state.config
    for path, value in command.changes:
        if value is not None:
            config = config.set(path, value)
        elif path in config:
            config = config.delete(path)
    after = {path: config.get(path) for path, _ in command.changes}
    value = (("before", _text(before)), ("after", _text(after)))
    if before == after:
        return state, value
    if command.domain:
        moved = _moved(state, command.domain)
        if isinstance(moved, Refusal):
            return moved
        state = moved
    changed = sorted(path for path in after if before[path] != after[path])
    state = tell(
        state, stamp, "config", "", f"Configuration changed: {', '.join(changed)}",
        before=_text({path: before[path] for path in changed}),
        after=_text({path: after[path] for path in changed}),
    )
    return replace(state, config=config), value


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _moved(state: ClusterState, domain: str) -> ClusterState | Refusal:
    """All apps under another domain; refused when an app would come to another's address."""
    apps = state.apps
    for app in state.apps.values():
        found = _addresses(app, domain)
        past = tuple(replace(one, addresses=_addresses(one, domain)) for one in app.revisions)
        if (found, past) != (app.addresses, app.revisions):
            apps = apps.set(app.name, replace(app, addresses=found, revisions=past))
    owners: dict[str, str] = {}
    for name in sorted(apps):
        for address in set(apps[name].addresses):
            other = owners.setdefault(address, name)
            if other != name:
                return Refusal(
                    Code.CONFLICT,
                    f"{address} would lead to '{other}' and to '{name}': choose another domain, "
                    "or give one of them another host")
    return replace(state, apps=apps, owners=owners_of(apps))


def settled_addresses(
    state: ClusterState, command: c.RegisterApp | c.UpdateApp
) -> tuple[str, ...]:
    """The addresses of a new app: the domain may have changed since it was proposed."""
    domain = state.config.get(DOMAIN)
    if not command.addresses or not isinstance(domain, str):
        return command.addresses
    found = addresses_of(command.document, domain)
    return command.addresses if found is None else found


def _addresses(app: App | Revision, domain: str) -> tuple[str, ...]:
    found = addresses_of(app.document, domain) if app.addresses else ()
    return app.addresses if found is None else found
