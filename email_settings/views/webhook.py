"""Where Amazon SNS posts delivery events: verified, stored, answered; read by a worker.

Each answer is one line of plain text, for whoever looks why nothing comes.
"""

import logging
from collections.abc import Mapping

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from email_settings import sns
from email_settings.delivery.clock import database_now
from email_settings.events import letters, webhook
from email_settings.gateway import certificates
from email_settings.gateway.certificates import CertificateAwayError
from email_settings.models import SesSettings
from email_settings.nudge import nudge_letters

logger = logging.getLogger(__name__)


@login_not_required
@csrf_exempt
def ses_webhook(request: HttpRequest) -> HttpResponse:
    """Take one post of our topic.

    403 and 400 are final for SNS; after 503 it posts again.
    """
    if request.method != "POST":
        return _say(
            405, "Amazon SNS posts here; there is nothing to see.", Allow="POST"
        )
    try:
        return _take(request)
    except Error as error:
        logger.warning("webhook: the database is away: %s", error)
        return _say(503, "The database is away. Try again.")


def _take(request: HttpRequest) -> HttpResponse:
    sender = SesSettings.objects.filter(pk=SesSettings.ONLY_ID).first()
    if sender is None or not webhook.is_on(sender):
        return _say(404, "The webhook is switched off.")
    try:
        envelope, body = _verified(request, sender.event_topic_arn)
    except sns.PostRefusedError as refusal:
        webhook.refusals.note(str(refusal))
        return _say(refusal.status, str(refusal))
    except CertificateAwayError as error:
        logger.warning("webhook: no certificate: %s", error)
        webhook.refusals.note("The certificate of Amazon SNS could not be fetched.")
        return _say(503, "The certificate could not be fetched. Try again.")
    letters.receive(envelope, body)
    nudge_letters()
    return _say(200, "Received.")


def _verified(request: HttpRequest, topic_arn: str) -> tuple[sns.Envelope, bytes]:
    """Return what was posted. Cheap questions first, and the network last of all."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    sns.check_headers(headers, topic_arn=topic_arn)
    body = _body(request, headers)
    envelope = sns.read_envelope(body)
    now = database_now()
    sns.check_envelope(
        envelope,
        headers,
        topic_arn=topic_arn,
        certificate_origin=certificates.certificate_origin(topic_arn),
        now=now,
    )
    certificate = certificates.certificates.get(envelope.certificate_url, now=now)
    sns.check_signature(envelope, certificate)
    return envelope, body


def _body(request: HttpRequest, headers: Mapping[str, str]) -> bytes:
    """Return the body, and read no more of it than SNS would send."""
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > sns.LARGEST_BODY:
        raise sns.PostRefusedError(413, "The body is larger than 256 KB.")
    try:
        return request.read(sns.LARGEST_BODY + 1)
    except UnreadablePostError:
        raise sns.PostRefusedError(400, "The body ended too soon.") from None


def _say(status: int, text: str, **headers: str) -> HttpResponse:
    return HttpResponse(
        f"{text}\n",
        status=status,
        content_type="text/plain; charset=utf-8",
        headers=headers,
    )
