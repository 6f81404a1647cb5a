"""Sealed: what secrets of applications and logins of registries have in common when written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from api.here import here
from api.writes import WRITE_WAIT_S, propose, repeated
from cluster.sealing import SealError
from cluster.state.commands import ResealSecret, SetSecret
from cluster.state.members import lacking_key
from cluster.state.model import Applied
from orchestry.errors import Code, OrchestryError

_one_at_a_time = threading.Lock()
"""A version is sealed for its number, so that the next one must wait for it."""


def keep(name: str, fields: Mapping[str, str]) -> Applied:
    """Seal the next version of a secret and keep it.

    Raises:
        OrchestryError: CONFLICT without a key, or what the state machine refuses.
    """
    keyring = here().controller.keyring
    with _in_turn():
        known = here().controller.log.state().secrets.get(name)
        version = known.newest.version + 1 if known is not None else 1
        try:
            key_id, sealed = keyring.seal(name, version, fields)
        except SealError as error:
            raise OrchestryError(Code.CONFLICT, error.reason) from None
        return propose(
            SetSecret(name, version, key_id, tuple(sorted(fields)), sealed), mark=keyring.mark)


def reseal(name: str) -> bool:
    """Seal all versions under the first key; False when there is no such secret.

    Raises:
        OrchestryError: CONFLICT when a version cannot be opened here.
    """
    keyring = here().controller.keyring
    with _in_turn():
        state = here().controller.log.state()
        known, repeat = state.secrets.get(name), repeated(state)
        if known is None:
            return False
        old = [one for one in known.versions if one.key_id != keyring.first]
        if old and repeat is None:
            try:
                sealed = tuple(
                    (one.version, keyring.seal(name, one.version, keyring.open(
                        name, one.version, one.key_id, one.sealed))[1]) for one in old)
            except SealError as error:
                raise OrchestryError(Code.CONFLICT, error.reason) from None
            propose(ResealSecret(name, known.changed, keyring.first, sealed))
    return True


def warning(key_id: str) -> str | None:
    """Which controllers could not open what is sealed under a key; None when all can."""
    controller = here().controller
    without = [name for name in lacking_key(controller.log.state(), key_id)
               if name != controller.id or not controller.keyring.knows(key_id)]
    if not without:
        return None
    one = len(without) == 1
    return (
        f"{'Controller' if one else 'Controllers'} {', '.join(without)} {'does' if one else 'do'} "
        f"not have key {key_id}: when {'it' if one else 'one of them'} leads, what needs this is "
        "not started. Give all controllers the same ORCHESTRY_SECRETS_KEY and start them again")


@contextmanager
def _in_turn() -> Iterator[None]:
    """One change of a secret at a time, in bounded time."""
    with here().waiting.place():
        if not _one_at_a_time.acquire(timeout=WRITE_WAIT_S):
            raise OrchestryError(
                Code.CLUSTER_NOT_READY, "Other changes of secrets take long; try again in a second")
        try:
            yield
        finally:
            _one_at_a_time.release()
