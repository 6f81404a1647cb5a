"""Files that are in a container's memory before its first instruction, and on no disk.

Docker writes into a tmpfs only while it is mounted, and it is mounted only while a container
runs. So a second container that never runs shares the volume: while Docker unpacks an archive
into that one, the volume is mounted, and the replica starts meanwhile.

Source: docs/adr/0032-secrets-as-files.md.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import queue
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from cluster.engine.base import FILES_FOLDER, EngineError, Guard, RunRequest
from cluster.engine.docker_api import ApiRefusal, DockerApi
from cluster.engine.docker_format import LABEL_CLUSTER, LABEL_FILES_OF

logger = logging.getLogger(__name__)

POLL_S = 0.02
MTIME_S = 946_684_800
"""The last thing that Docker gives a file is its time: by this one it is known to be whole."""
END = b"\0" * 2 * tarfile.BLOCKSIZE


def helper_name(name: str) -> str:
    """The container by which the memory of the replica `name` is filled."""
    return f"{name}.files"


def archive(files: tuple[tuple[str, str], ...], user: str) -> bytes:
    """A tar file without its end; `user` is the container's.

    Files are for that user alone where its number is known. Where it is a name, which only the
    image can tell the number of, all users of the container can read them.
    """
    uid, _, gid = (user or "0").partition(":")
    known = uid.isdecimal()
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, text in files:
            member, data = tarfile.TarInfo(name), text.encode()
            member.size, member.mtime = len(data), MTIME_S
            member.mode = 0o400 if known else 0o444
            member.uid = int(uid) if known else 0
            member.gid = int(gid) if known and gid.isdecimal() else 0
            tar.addfile(member, io.BytesIO(data))
        return found.getvalue()


def context_archive(context: Mapping[str, bytes | tuple[bytes, int]]) -> io.BytesIO:
    """A tar file of what an image is built from: path to content, or to (content, mode)."""
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as tar:
        for path, entry in context.items():
            content, mode = entry if isinstance(entry, tuple) else (entry, 0o644)
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    found.seek(0)
    return found


class ContainerFiles:
    """Fills the memory of replicas; thread-safe."""

    def __init__(self, api: DockerApi) -> None:
        self._api = api
        self._free = threading.Condition()
        self._busy: set[str] = set()

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """One caller at a time starts the replica `name` from here."""
        with self._free:
            if not self._free.wait_for(lambda: name not in self._busy, self._api.timeout_s):
                raise EngineError("timeout", f"another start of {name} takes long")
            self._busy.add(name)
        try:
            yield
        finally:
            with self._free:
                self._busy.discard(name)
                self._free.notify_all()

    def is_busy(self, name: str) -> bool:
        """Whether the replica is being started from here."""
        return name in self._busy

    def start(self, container_id: str, name: str, request: RunRequest, guard: Guard) -> None:
        """Start a container with its files.

        Raises:
            EngineError: it may run without them; of a run, `timeout` once a start was asked for
                and not refused.
        """
        asked = False
        try:
            guard()
            with self.filled(container_id, name, request):
                guard()
                asked = request.run != 0
                try:
                    self._api.call("start", container_id)
                except ApiRefusal:
                    asked = False
                    raise
        except EngineError as error:
            if asked:
                raise EngineError("timeout", error.reason) from error
            raise

    @contextmanager
    def filled(self, container_id: str, name: str, request: RunRequest) -> Iterator[None]:
        """The files are in the container's memory for as long as the block runs.

        It has to start within the block. Raises EngineError, also at the end, when Docker
        cannot tell that they were there all the time. The helper of a run stays then, as the
        mark of a doubt.
        """
        doubtful = False
        user = self._api.call("inspect_container", container_id)["Config"]["User"]
        helper_id = self._helper(container_id, name, request)
        try:
            stream = _Stream(archive(request.files, user))
            sender = threading.Thread(
                target=self._send, args=(helper_id, stream), name="files", daemon=True)
            sender.start()
            try:
                self._wait(container_id, request.files[-1], stream)
                doubtful = request.run != 0
                yield
            finally:
                stream.end()
                sender.join(self._api.timeout_s)
            if sender.is_alive():
                raise EngineError("timeout", f"Docker does not end writing the files of {name}")
            if stream.error is not None:
                raise stream.error
            doubtful = False
        finally:
            if not doubtful:
                self.drop(name)

    def drop(self, name: str) -> bool:
        """Remove the helper of a replica; tells whether there was one."""
        try:
            self._api.call("remove_container", helper_name(name), v=False, force=True)
        except ApiRefusal as error:
            if error.status not in (404, 409):
                raise
            return error.status == 409  # somebody removes it already
        return True

    def _helper(self, container_id: str, name: str, request: RunRequest) -> str:
        config = {
            "Image": request.pinned or request.image, "Labels": {
                LABEL_CLUSTER: request.cluster_id, LABEL_FILES_OF: container_id},
            "HostConfig": {"NetworkMode": "none", "VolumesFrom": [f"{container_id}:rw"],
                           "LogConfig": {"Type": "none"}},
        }
        self.drop(name)
        created = self._api.call("create_container_from_config", config, helper_name(name))
        return str(created["Id"])

    def _send(self, helper_id: str, stream: _Stream) -> None:
        try:
            with self._api.stream(
                "PUT", f"/containers/{helper_id}/archive", {"path": FILES_FOLDER},
                silence_s=self._api.timeout_s, headers={"Content-Type": "application/x-tar"},
                data=stream.chunks(),
            ):
                if not stream.ended:
                    stream.error = EngineError("rejected", "Docker has not taken the files")
        except EngineError as error:
            stream.error = error
        except Exception as error:
            logger.exception("sending files failed")
            stream.error = EngineError("rejected", f"sending files failed: {error}")

    def _wait(self, container_id: str, last: tuple[str, str], stream: _Stream) -> None:
        """Until the last file is there as a whole."""
        path = f"/containers/{container_id}/archive"
        deadline_s = time.monotonic() + self._api.timeout_s
        while True:
            if stream.error is not None:
                raise stream.error
            with suppress(ApiRefusal), self._api.stream(
                "HEAD", path, {"path": f"{FILES_FOLDER}/{last[0]}"},
                silence_s=self._api.timeout_s,
            ) as response:
                told = json.loads(base64.b64decode(
                    response.headers.get("X-Docker-Container-Path-Stat", "e30=")))
                if str(told.get("mtime", "")).startswith("2000-01-01T00:00:00"):
                    return
            if time.monotonic() > deadline_s:
                raise EngineError("timeout", "Docker did not write the files in time")
            time.sleep(POLL_S)


class _Stream:
    """An archive whose end is held back."""

    def __init__(self, begin: bytes) -> None:
        self._begin = begin
        self._go_on: queue.Queue[None] = queue.Queue(1)
        self.ended = False
        self.error: EngineError | None = None

    def chunks(self) -> Iterator[bytes]:
        """All of it, the end as soon as it may come."""
        yield self._begin
        self._go_on.get()
        self.ended = True
        yield END

    def end(self) -> None:
        """Let the end come."""
        with suppress(queue.Full):
            self._go_on.put_nowait(None)
