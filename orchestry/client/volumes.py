"""`VolumeCalls`: the calls about volumes."""

from __future__ import annotations

from orchestry.client.basis import Basis, R
from orchestry.client.exchange import S
from orchestry.client.parts import app_path, path_part

REMOVE_MAX_S = 30
SIZES_MAX_S = 60


class VolumeCalls(Basis[R, S]):
    """Volumes come with the apps that name them, and go with them or by `remove_volume`."""

    def list_volumes(self, app_name: str | None = None, *, sizes: bool = False) -> R:
        """All volumes, also those of deleted apps, or those of one app.

        `sizes` takes long where volumes have many files. Raises ApiError (DOCKER_ERROR).
        """
        path = "/api/v1/volumes" if app_name is None else app_path(app_name, "/volumes")
        return self._read(
            path, sizes="true" if sizes else None, wait_s=SIZES_MAX_S if sizes else 0)

    def remove_volume(self, name: str, *, key: str | None = None) -> R:
        """Remove a volume that a deleted app left behind, with all that is in it.

        Raises Conflict while its app is there or a container has it, TimedOut while it goes on.
        """
        path = f"/api/v1/volumes/{path_part('volume_name', name)}"
        return self._write("DELETE", path, None, key=key, wait_s=REMOVE_MAX_S)
