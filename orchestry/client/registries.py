"""`RegistryCalls`: the calls about logins of registries."""

from __future__ import annotations

from orchestry.client.basis import Basis, R
from orchestry.client.exchange import S
from orchestry.client.parts import path_part


class RegistryCalls(Basis[R, S]):
    """Logins are set, listed, sealed under another key and removed; nobody reads passwords."""

    def set_registry_login(
        self, host: str, username: str, password: str, *, key: str | None = None
    ) -> R:
        """Pull images of a registry, as `registry.example:5000`, with this login from now on.

        Raises InvalidRequest with every fault, Conflict when the controllers have no key.
        """
        return self._write(
            "PUT", _path(host), {"username": username, "password": password}, key=key)

    def list_registries(self) -> R:
        """All registries that the cluster has a login for; no passwords."""
        return self._read("/api/v1/registries")

    def delete_registry_login(self, host: str, *, key: str | None = None) -> R:
        """Forget the login of a registry."""
        return self._write("DELETE", _path(host), None, key=key)

    def rotate_registry_login(self, host: str, *, key: str | None = None) -> R:
        """Seal a login under the first key of the controllers."""
        return self._write("POST", f"{_path(host)}/rotate", None, key=key)


def _path(host: str) -> str:
    return f"/api/v1/registries/{path_part('registry_host', host)}"
