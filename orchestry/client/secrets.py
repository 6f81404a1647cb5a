"""`SecretCalls`: the calls about secrets of applications."""

from __future__ import annotations

from collections.abc import Mapping

from orchestry.client.basis import Basis, R
from orchestry.client.exchange import S
from orchestry.client.parts import flag, path_part


class SecretCalls(Basis[R, S]):
    """Secrets are set, listed, sealed under another key and removed; nobody reads them."""

    def set_secret(
        self, name: str, values: str | Mapping[str, str], *, key: str | None = None
    ) -> R:
        """Keep a new version: one text, or a text for each field, instead of all that were there.

        Apps that use it get new replicas, one after the other. Raises InvalidRequest with every
        fault, Conflict when the controllers have no key.
        """
        body = {"value": values} if isinstance(values, str) else {"values": dict(values)}
        return self._write("PUT", _path(name), body, key=key)

    def list_secrets(self) -> R:
        """All secrets, with their fields, versions and the apps that use them; no values."""
        return self._read("/api/v1/secrets")

    def get_secret(self, name: str) -> R:
        """One secret, without its values."""
        return self._read(_path(name))

    def delete_secret(self, name: str, *, force: bool = False, key: str | None = None) -> R:
        """Remove a secret; raises Conflict while apps use it, except with `force`."""
        return self._write("DELETE", _path(name), None, query={"force": flag(force)}, key=key)

    def rotate_secret(self, name: str, *, key: str | None = None) -> R:
        """Seal a secret under the first key of the controllers; no app is restarted."""
        return self._write("POST", f"{_path(name)}/rotate", None, key=key)


def _path(name: str) -> str:
    return f"/api/v1/secrets/{path_part('secret_name', name)}"
