"""`orchestry cluster ca`: the program behind it, which works on files of this machine."""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from api.routes.authority import PATH
from cluster.tls import tokens
from cluster.tls.authority import (
    Authority,
    pin_of,
    pinned,
    request_for,
    split,
    was_issued,
    write_private,
)
from cluster.tls.errors import TlsError
from cluster.tls.tokens import LOOPBACK, PROOF_HEADER, TOKEN_S_MAX
from orchestry import units

TIMEOUT_S = 10.0
BYTES_MAX = 1024**2
TOKEN_VARIABLE = "ORCHESTRY_JOIN_TOKEN"  # noqa: S105 - the name of a variable, not a secret
SECRET_VARIABLE = "CLUSTER_SECRET"  # noqa: S105 - the same


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 with the reason on standard error."""
    options = _parser().parse_args(arguments)
    try:
        told = options.run(options)
    except TlsError as error:
        reason = error.reason
    except OSError as error:
        reason = f"{error.filename or options.dir}: {error.strerror or error}"
    else:
        print(json.dumps(told) if options.json else _shown(told))  # noqa: T201
        return 0
    print(f"orchestry cluster ca: {reason}", file=sys.stderr)  # noqa: T201
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orchestry cluster ca")
    parser.add_argument("--json", action="store_true")
    commands = parser.add_subparsers(required=True)
    for run, named in ((_init, True), (_issue, True), (_token, True), (_join, False)):
        command = commands.add_parser(run.__name__.strip("_"))
        command.set_defaults(run=run)
        command.add_argument("--dir", type=Path, required=True)
        if named:
            command.add_argument("--name", required=True)
            command.add_argument("--host", action="append", default=[])
        if run is _issue:
            command.add_argument("--out", type=Path, required=True)
            command.add_argument("--no-ca-key", action="store_true")
        if run is _token:
            command.add_argument("--ttl", default="15m")
        if run is _join:
            command.add_argument("--url", required=True)
            command.add_argument("--token", default=os.environ.get(TOKEN_VARIABLE, ""))
    return parser


def _init(options: argparse.Namespace) -> dict[str, Any]:
    """A CA, and the certificate of the first controller."""
    folder: Path = options.dir
    if (folder / "ca.key").exists():
        raise TlsError(f"{folder} has a CA already: use `issue`, `token`, or another folder")
    authority = Authority.make("Orchestry cluster CA")
    issued = authority.issue(options.name, (*options.host, *LOOPBACK))
    return _written(folder, {
        "ca.key": authority.key, "ca.crt": authority.certificate,
        "node.key": issued.key, "node.crt": issued.certificate,
    })


def _issue(options: argparse.Namespace) -> dict[str, Any]:
    """The certificate of a further controller, to be carried there by hand."""
    authority = _authority(options.dir)
    issued = authority.issue(options.name, (*options.host, *LOOPBACK))
    ca_key = {} if options.no_ca_key else {"ca.key": authority.key}
    return _written(options.out, {
        **ca_key, "ca.crt": authority.trusted,
        "node.key": issued.key, "node.crt": issued.certificate,
    })


def _token(options: argparse.Namespace) -> dict[str, Any]:
    """What lets one controller join for a while."""
    try:
        ttl_s = units.parse_duration(options.ttl)
    except ValueError as error:
        raise TlsError(f"--ttl: {error}") from error
    if ttl_s > TOKEN_S_MAX:
        raise TlsError("--ttl: a join token holds for 24h at most; make another one later")
    authority = _authority(options.dir)
    token = authority.token(options.name, options.host, int(time.time() + ttl_s))
    return {"token": token, "pin": authority.pin}


def _join(options: argparse.Namespace) -> dict[str, Any]:
    """Ask a running controller for a certificate, after its CA was held against the token."""
    claim = tokens.claimed(options.token)
    if claim is None:
        raise TlsError(f"give a join token with --token or {TOKEN_VARIABLE}: "
                       "`orchestry cluster ca token` makes one")
    secret = _secret()
    url = urlsplit(options.url)
    if url.scheme != "https" or not url.hostname:
        raise TlsError(f"{options.url} is no address such as https://10.0.0.1:8000")
    # Who this is shows the pin, and what follows is sent to nobody else.
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    answer = _asked(url.hostname, url.port, PATH, anybody)
    try:
        cas = pinned(str(answer.get("ca")), claim.pins)
    except TlsError as error:
        raise TlsError(f"{options.url} does not show the CA of the token: {error.reason}. Nothing "
                       "was sent to it; is the address right, or is somebody between?") from error
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known.load_verify_locations(cadata=cas.decode())
    request, key = request_for(claim.name, claim.names)
    path = f"{PATH}/certificate?request={base64.urlsafe_b64encode(request).decode()}"
    answer = _asked(url.hostname, url.port, path, known, {
        "Authorization": f"Bearer {options.token.strip()}",
        PROOF_HEADER: tokens.proof(secret, options.token, request)})
    if not {"ca", "ca_key", "certificate"} <= answer.keys():
        raise TlsError(f"{options.url} answers without a certificate: is it a controller?")
    signed, ca_key = (str(answer[part]).encode() for part in ("certificate", "ca_key"))
    if not was_issued(signed, split(cas)[0], key):
        raise TlsError(f"{options.url} issues certificates of another CA than it showed before")
    return _written(options.dir, {
        "ca.key": ca_key, "ca.crt": cas, "node.key": key, "node.crt": signed})


def _secret() -> str:
    """The cluster's secret, which the new controller has to have anyway."""
    found, path = os.environ.get(SECRET_VARIABLE, ""), os.environ.get(f"{SECRET_VARIABLE}_FILE")
    if not found and path:
        found = Path(path).read_text(encoding="utf-8", errors="replace").strip()
    if not found:
        raise TlsError(f"set {SECRET_VARIABLE} or {SECRET_VARIABLE}_FILE to the secret of the "
                       "cluster: only who knows it may join")
    return found


def _asked(
    host: str, port: int | None, path: str, context: ssl.SSLContext,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    where = f"https://{host}:{port or 443}"
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        found = json.loads(response.read(BYTES_MAX))
    except ssl.SSLCertVerificationError as error:
        raise TlsError(f"{where} has no valid certificate: {error.verify_message}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TlsError(f"{where} does not answer as a controller does: {error}") from error
    finally:
        connection.close()
    if response.status != 200 or not isinstance(found, dict):
        details = found.get("details") if isinstance(found, dict) else found
        raise TlsError(f"{where} refuses: {details}")
    return found


def _authority(folder: Path) -> Authority:
    return Authority.load(str(folder / "ca.crt"), str(folder / "ca.key"))


def _written(folder: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "node.key").exists():
        raise TlsError(f"{folder} has a certificate already; name another folder")
    for name, content in files.items():
        write_private(folder / name, content)
        if name.endswith(".crt"):
            (folder / name).chmod(0o644)
    places = {
        "ORCHESTRY_TLS_CERT": "node.crt", "ORCHESTRY_TLS_KEY": "node.key",
        "ORCHESTRY_TLS_CA": "ca.crt", "ORCHESTRY_TLS_CA_KEY": "ca.key"}
    settings = {name: str(folder / file) for name, file in places.items() if file in files}
    return {"pin": pin_of(split(files["ca.crt"])[0]), "settings": settings | {"CLUSTER_TLS": "on"}}


def _shown(told: Mapping[str, Any]) -> str:
    if "token" in told:
        return str(told["token"])
    lines = [f"{name}={value}" for name, value in told["settings"].items()]
    return "\n".join(["Start the controller with:", *(f"  {line}" for line in lines)])


if __name__ == "__main__":
    sys.exit(main())
