"""The one door for mail: a row in the caller's transaction, a wake-up after it."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from email_settings import credentials
from email_settings.delivery.clock import database_now
from email_settings.lifetimes import lifetime_of
from email_settings.models import Lane, OutboxMessage, SharedBody
from email_settings.nudge import nudge_worker
from email_settings.rendering import render_mail
from ticketflow.lib.many_rows import insert_copies


def enqueue(
    *,
    kind: str,
    template: str,
    context: Mapping[str, Any],
    recipient: str,
    recipient_name: str = "",
    lane: Lane = Lane.NOTICE,
    headers: Mapping[str, str] | None = None,
    is_secret: bool = False,
    about_label: str = "",
    about_path: str = "",
) -> OutboxMessage:
    """Put a mail in the outbox. It is sent only if the caller's transaction commits.

    `template` is a path without its endings, as for rendering.render_mail; `headers`
    are extra ones such as Auto-Submitted; `kind` also says how long sending it makes
    sense (lifetimes.py). Must be called inside a transaction.
    """
    rendered = render_mail(template, context)
    return put(
        kind=kind,
        subject=rendered.subject,
        text_body=rendered.text,
        html_body=rendered.html,
        recipient=recipient,
        recipient_name=recipient_name,
        lane=lane,
        headers=headers,
        is_secret=is_secret,
        about_label=about_label,
        about_path=about_path,
    )


def put(
    *,
    kind: str,
    subject: str,
    text_body: str,
    html_body: str = "",
    recipient: str,
    recipient_name: str = "",
    lane: Lane = Lane.NOTICE,
    headers: Mapping[str, str] | None = None,
    is_secret: bool = False,
    about_label: str = "",
    about_path: str = "",
) -> OutboxMessage:
    """Put a mail that is rendered already in the outbox; see enqueue.

    The bodies of a secret one are stored encrypted. Raises encryption.EncryptionError
    when there is no usable key file for that.
    """
    message = _message(
        kind=kind,
        lane=lane,
        recipient=recipient,
        recipient_name=recipient_name,
        subject=subject,
        text_body=text_body,
        html_body=html_body,
        headers=dict(headers or {}),
        is_secret=is_secret,
        about_label=about_label,
        about_path=about_path,
    )
    if is_secret:
        credentials.seal_body(message)
    message.save()
    # robust: with the broker down the change is still saved, and the sweep sends the mail.
    transaction.on_commit(nudge_worker, robust=True)
    return message


def enqueue_many(
    *,
    kind: str,
    template: str,
    context: Mapping[str, Any],
    recipients: Sequence[tuple[str, str]],
    lane: Lane = Lane.NOTICE,
    headers: Mapping[str, str] | None = None,
    about_label: str = "",
    about_path: str = "",
) -> list[int]:
    """Put the same text in the outbox for many, one message each; see enqueue.

    `recipients` are addresses with names. The text is rendered once and stored once,
    and one statement writes the rows. Returns their primary keys in the same order.
    Not for secrets.
    """
    rendered = render_mail(template, context)
    message = _message(
        kind=kind,
        lane=lane,
        subject=rendered.subject,
        headers=dict(headers or {}),
        about_label=about_label,
        about_path=about_path,
    )
    if len(recipients) > 1:
        message.shared_body = SharedBody.objects.create(
            text=rendered.text, html=rendered.html
        )
    else:
        message.text_body, message.html_body = rendered.text, rendered.html
    own = [
        {"uid": uuid.uuid4(), "recipient": address, "recipient_name": name}
        for address, name in recipients
    ]
    pks = insert_copies(message, own)
    transaction.on_commit(nudge_worker, robust=True)
    return [pks[values["uid"]] for values in own]


def _message(**values: Any) -> OutboxMessage:
    """Return a message that is due now, by the clock that workers go by."""
    now = database_now()
    return OutboxMessage(
        due_at=now,
        created_at=now,
        expires_at=now + lifetime_of(values["kind"]),
        **values,
    )
