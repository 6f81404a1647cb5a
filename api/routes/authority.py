"""The cluster's own CA: its certificate, and certificates for who shows a join token."""

from __future__ import annotations

import base64
import logging

from flask import Response, request

from api import access, errors, writes
from api import answers_cluster as answers
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here
from api.models import Error, SigningQuery, WriteQuery
from cluster.state.commands import RecordEvent, Stamp
from cluster.tls import tokens
from cluster.tls.authority import Authority
from cluster.tls.certificates import facts_of_pem
from cluster.tls.errors import TlsError
from orchestry.errors import Code, OrchestryError

logger = logging.getLogger(__name__)
PATH = "/cluster/ca"

blueprint = Blueprint("authority", __name__, url_prefix=PATH, abp_tags=[{"name": "Cluster"}])


@blueprint.get("", operation_id="cluster_ca", responses={200: answers.Ca, 404: Error})
@checked
def ca(query: WriteQuery) -> Response:
    """The certificate of the cluster's own CA; who has its pin can tell whether it is that.

    While one CA replaces another, all that the cluster believes follow after it.
    """
    authority = _authority()
    return answer({"ca": authority.trusted.decode(), "pin": authority.pin})


@blueprint.get(
    "/certificate", operation_id="cluster_certificate",
    responses={200: answers.Signed, 403: Error, 404: Error},
)
@checked
def certificate(query: SigningQuery) -> Response:
    """A certificate for the controller and the hosts that a join token names, and no others.

    The token is the bearer token; `X-Orchestry-Join-Proof` shows that its owner knows the
    cluster's secret, as a controller does. With the certificate comes the key of the CA, so that
    the controller renews its certificate itself. Nothing is changed by it, so that any
    controller answers, also without a leader.
    """
    authority, now_s = _authority(), here().controller.clock.wall_ms() / 1000
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    claim = authority.admits(token, now_s) if scheme.lower() == "bearer" else None
    if claim is None:
        _count()
        raise OrchestryError(
            Code.FORBIDDEN, "The join token is not one of this cluster's CA, or has ended; make "
            "one with `orchestry cluster ca token`")
    try:
        pem = base64.urlsafe_b64decode(query.request)
        given = request.headers.get(tokens.PROOF_HEADER, "")
        if not tokens.is_proven(given, here().controller.settings.secret, token, pem):
            _count()
            logger.warning("a join token for %s was shown without the cluster's secret", claim.name)
            raise OrchestryError(
                Code.FORBIDDEN, "Who joins has to know the CLUSTER_SECRET of this controller; set "
                "the same one on both machines")
        signed = authority.sign_for(claim, pem.decode("ascii"))
    except (ValueError, TlsError) as error:
        reason = error.reason if isinstance(error, TlsError) else "is no signing request in PEM"
        raise errors.invalid([("request", reason)]) from error
    _tell(signed)
    found = answer({
        "certificate": signed.decode(), "ca": authority.trusted.decode(),
        "ca_key": authority.key.decode(),
    })
    found.headers["Cache-Control"] = "no-store"
    return found


def _count() -> None:
    """One more wrong token or proof of this client, which has few."""
    refused = access.failed_too_often(here().controller)
    if refused is not None:
        raise errors.Answered(refused)


def _tell(certificate: bytes) -> None:
    """Leave a trace of it, in the log here, as an event and in the audit once one leads."""
    facts, controller = facts_of_pem(certificate)[0], here().controller
    names = ", ".join(sorted(facts.names | facts.addresses))
    origin = writes.origin_of(controller)
    client = origin.client
    logger.warning("a certificate for %s (%s) was issued to %s", facts.common_name, names, client)
    controller.log.submit(RecordEvent(
        "cluster", "", f"A certificate was issued for controller {facts.common_name}",
        (("client", client), ("names", names))),
        Stamp(controller.clock.wall_ms(), controller.id,
              origin=origin if controller.settings.auth_on else None))


def _authority() -> Authority:
    authority = here().controller.identity.authority
    if authority is None:
        raise OrchestryError(
            Code.NOT_FOUND, "This controller has no key of a CA (ORCHESTRY_TLS_CA_KEY)")
    return authority
