"""What arrived at moto, as mails."""

import email
import email.policy
import json
import urllib.request
from email.message import EmailMessage

from email_settings.models import OutboxMessage


def mails_at(moto_url: str, *messages: OutboxMessage) -> list[EmailMessage]:
    """Return what arrived at the stand-in for Amazon SES of these messages.

    moto keeps the mails of earlier tests of the same process.
    """
    with urllib.request.urlopen(f"{moto_url}/moto-api/data.json") as reply:  # noqa: S310
        state = json.load(reply)
    mails = [
        email.message_from_string(raw["raw_data"], policy=email.policy.default)
        for raw in state["ses"].get("RawMessage", [])
    ]
    wanted = {message.uid.hex for message in messages}
    return [mail for mail in mails if mail["X-TicketFlow-Message"] in wanted]
