"""LocalNginx: an nginx process of our own on this machine, kept alive.

The process outlives a supervisor that is killed: the next one finds it by its pid file and
takes it over, so that no request is dropped.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import IO

from cluster.ingress import lua, processes
from cluster.ingress.backoff import Backoff
from cluster.ingress.base import IngressError
from cluster.ingress.client import NginxIngress
from cluster.ingress.nginx import TOKEN_VARIABLE, IngressConfig, render

APT_PACKAGES = ("nginx-light", "libnginx-mod-http-lua", "libnginx-mod-http-ndk",
                "lua-resty-core", "lua-resty-lrucache", "lua-cjson")
START_DEADLINE_S = 15.0
STOP_GRACE_S = 10.0
PORT_RELEASE_S = 2.0
ERROR_LOG_LIMIT_BYTES = 16 * 1024**2
SOCKET_PATH_LIMIT_BYTES = 107
FILES_LIMIT = 32768

_MODULES_DIRECTORIES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules",
                        "/usr/share/nginx/modules")
_MODULES = ("ndk_http_module.so", "ngx_http_lua_module.so")


class LocalNginx:
    """One ingress in `directory`, serving HTTP on `address:port`, HTTPS on `tls_port`.

    start(), ensure() and stop() raise only IngressError, whose text says what to do. Not
    for use from several threads at once.
    """

    def __init__(
        self, directory: Path, port: int, *, address: str = "127.0.0.1",
        admin: tuple[str, ...] = (), workers: int = 0, tls_port: int = 0,
    ) -> None:
        self.directory = directory.absolute()
        self.port = port
        self._address = address
        self._admin = admin
        self.tls_port = tls_port
        self._workers = workers or min(os.cpu_count() or 1, 4)
        self._config_file = self.directory / "nginx.conf"
        self._socket = self.directory / "admin.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._group = 0
        self._draining: list[int] = []
        self._lock: IO[bytes] | None = None
        self._backoff = Backoff()

    @property
    def endpoint(self) -> str:
        """Where controllers push: the value for INGRESS_ADMIN."""
        return f"unix:{self._socket}"

    @property
    def pid(self) -> int:
        """The master process, which leads a process group of its own; 0 before the start."""
        return self._group

    def start(self) -> None:
        """Run nginx, or take over the one that an earlier supervisor left running."""
        self._take_directory()
        try:
            self._begin()
        except BaseException:
            self._release_directory()
            raise

    def alive(self) -> bool:
        """Whether the master process runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._group > 0 and processes.is_master_of(self._group, self._config_file)

    def ensure(self) -> bool:
        """Start nginx again if it died; True when this call did.

        To be called a few times a second. A start that fails raises, and the next one waits
        0.5 s, doubling to 10 s.
        """
        self._bound_error_log()
        if self._lock is None:
            raise IngressError("the ingress was not started")
        if self.alive() or not self._backoff.may_start():
            return False
        self._let_workers_drain()
        self._begin()
        return True

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """End nginx; requests have `grace_s` to finish."""
        self._end(grace_s=grace_s)
        for group in self._draining:
            processes.end_group(group, grace_s=0)
        self._draining.clear()
        self._release_directory()

    def _begin(self) -> None:
        text = render(self._config())
        if self._adopted(text):
            return
        self._write(text)
        self._check_port_free()
        self._check_config()
        self._socket.unlink(missing_ok=True)
        command = self._command()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )
        self._group = self._process.pid
        (self.directory / "group").write_text(str(self._group))
        self._backoff.started()
        self._await_ready()

    def _client(self) -> NginxIngress:
        """nginx takes its token from this process's environment."""
        return NginxIngress("local", self.endpoint, token=os.environ.get(TOKEN_VARIABLE, ""))

    def _await_ready(self) -> None:
        deadline_s = time.monotonic() + START_DEADLINE_S
        ingress = self._client()
        while True:
            try:
                ingress.state()
                return
            except IngressError as error:
                reason = error.reason
            if not self.alive() or time.monotonic() > deadline_s:
                self._end(grace_s=0)
                raise IngressError(f"nginx does not start: {self._last_error() or reason}")
            time.sleep(processes.PAUSE_S)

    def _adopted(self, text: str) -> bool:
        """Take over a leftover nginx that runs what we would start; end any other."""
        try:
            group = int((self.directory / "group").read_text())
        except (OSError, ValueError):
            return False
        if not processes.members(group):
            return False
        self._group, self._process = group, None
        if processes.is_master_of(group, self._config_file) and self._as_written(text):
            try:
                self._client().state()
            except IngressError:
                pass
            else:
                self._backoff.started()
                return True
        self._end(grace_s=STOP_GRACE_S)
        return False

    def _let_workers_drain(self) -> None:
        """The workers of a killed master close their ports at once, then finish requests."""
        group = self._group
        if group:
            processes.quit_group(group)
            deadline_s = time.monotonic() + PORT_RELEASE_S
            while not self._port_is_free():
                if time.monotonic() > deadline_s:
                    processes.end_group(group, grace_s=0)
                    break
                time.sleep(processes.PAUSE_S)
            self._draining = [g for g in (*self._draining, group) if processes.members(g)]
            self._group = 0
        self._end(grace_s=0)

    def _end(self, *, grace_s: float) -> None:
        if self._group:
            processes.end_group(self._group, grace_s=grace_s)
        if self._process is not None:
            self._process.wait()
        self._process, self._group = None, 0
        (self.directory / "group").unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def _config(self) -> IngressConfig:
        if len(str(self._socket).encode()) > SOCKET_PATH_LIMIT_BYTES:
            raise IngressError(f"the path {self._socket} is too long for a socket: use a "
                               "data folder with a shorter path")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        files = FILES_LIMIT if hard == resource.RLIM_INFINITY else min(hard, FILES_LIMIT)
        config = IngressConfig(
            directory=str(self.directory),
            listen=(f"{self._address}:{self.port}",),
            admin=(self.endpoint, *self._admin),
            tls_listen=(f"{self._address}:{self.tls_port}",) if self.tls_port else (),
            lua_directory=str(self.directory / "lua"),
            modules_directory=_modules_directory(),
            workers=self._workers,
            connections=files // 2,
            user=_worker_user(),
        )
        try:
            render(config)
        except ValueError as error:
            raise IngressError(str(error)) from error
        return config

    def _files(self, text: str) -> dict[Path, str]:
        files = {self._config_file: text}
        for path, source in lua.sources().items():
            files[self.directory / "lua" / path] = source
        return files

    def _as_written(self, text: str) -> bool:
        try:
            return all(path.read_text() == body for path, body in self._files(text).items())
        except OSError:
            return False

    def _write(self, text: str) -> None:
        try:
            (self.directory / "temp").mkdir(exist_ok=True)
            (self.directory / "lua" / lua.PACKAGE).mkdir(parents=True, exist_ok=True)
            for path, body in self._files(text).items():
                path.write_text(body)
        except OSError as error:
            raise IngressError(f"cannot write the ingress's files: {error}") from error

    def _take_directory(self) -> None:
        """Whoever may enter the folder may push routes: it is for its owner alone."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o700)
            lock = (self.directory / "lock").open("wb")
        except OSError as error:
            raise IngressError(f"cannot use {self.directory}: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise IngressError(f"another process runs the ingress in {self.directory}: stop "
                               "it, or use another folder") from error
        self._lock = lock

    def _release_directory(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_port_free(self) -> None:
        try:
            self._listen_once()
        except OSError as error:
            raise IngressError(
                f"the ingress cannot listen on {self._address}:{self.port} "
                f"({error.strerror}): free the port, or set INGRESS_PORT to another one"
            ) from error

    def _port_is_free(self) -> bool:
        try:
            self._listen_once()
        except OSError:
            return False
        return True

    def _listen_once(self) -> None:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self._address.strip("[]"), self.port))
            probe.listen()

    def _check_config(self) -> None:
        # The check opens the sockets of the file too, and leaves its own behind.
        try:
            check = subprocess.run(
                [*self._command(), "-t"], stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=START_DEADLINE_S, check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise IngressError(
                f"nginx does not check its configuration within {START_DEADLINE_S:g} s: see "
                "whether this machine is overloaded") from error
        if check.returncode != 0:
            raise IngressError(
                f"nginx refuses its configuration: {_reason(check.stderr)}; the ingress "
                f"needs these packages: apt-get install {' '.join(APT_PACKAGES)}"
            )

    def _command(self) -> list[str]:
        return [_nginx(), "-p", str(self.directory), "-c", str(self._config_file),
                "-e", str(self.directory / "error.log")]

    def _last_error(self) -> str:
        try:
            with (self.directory / "error.log").open("rb") as log:
                log.seek(max(log.seek(0, os.SEEK_END) - 8192, 0))
                return _reason(log.read().decode(errors="replace"))
        except OSError:
            return ""

    def _bound_error_log(self) -> None:
        """Keep one older part; nginx appends, so that its file can be cut in place."""
        log = self.directory / "error.log"
        try:
            if log.stat().st_size > ERROR_LOG_LIMIT_BYTES:
                shutil.copyfile(log, self.directory / "error.log.1")
                os.truncate(log, 0)
        except OSError:
            return


def _reason(text: str) -> str:
    """The last complaint in nginx's own words."""
    lines = [line for line in text.splitlines() if "[emerg]" in line or "[error]" in line]
    return lines[-1].partition("] ")[2] if lines else text.strip()[-200:]


def _nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise IngressError(f"nginx is not installed: apt-get install {' '.join(APT_PACKAGES)}")
    return found


def _modules_directory() -> str:
    _nginx()
    for directory in _MODULES_DIRECTORIES:
        if all((Path(directory) / module).is_file() for module in _MODULES):
            return directory
    raise IngressError("nginx's Lua module is not installed: "
                       f"apt-get install {' '.join(APT_PACKAGES)}")


def _worker_user() -> str:
    """`name group` that workers run as; empty when we are not root: then they are us."""
    if os.geteuid() != 0:
        return ""
    for name in ("www-data", "nginx", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return f"{name} {grp.getgrgid(entry.pw_gid).gr_name}"
    raise IngressError("no user for nginx's workers: add a user `nobody`")
