"""Email Activity's questions about the outbox."""

import contextlib
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Count, Q

from email_settings.models import OutboxMessage

HELD = OutboxMessage.State.HELD
CAPTURED = "captured"  # held by rehearsal, which is no trouble
REHEARSAL = "rehearsal"  # the reason_code of those


class OutboxMessageQuerySet(models.QuerySet[OutboxMessage]):
    """Mails as an admin looks for them."""

    def of_kind(self, kind: str) -> Self:
        return self.filter(kind=kind)

    def in_state(self, state: str) -> Self:
        """Mails in one state, where captured ones count as a state of their own."""
        if state == CAPTURED:
            return self.filter(state=HELD, reason_code=REHEARSAL)
        if state == HELD:
            return self.filter(state=HELD).exclude(reason_code=REHEARSAL)
        return self.filter(state=state)

    def written_since(self, moment: datetime) -> Self:
        return self.filter(created_at__gte=moment)

    def matching(self, text: str) -> Self:
        """Mails whose recipient, subject, ticket or message id has the text in it."""
        found = (
            Q(recipient__icontains=text)
            | Q(subject__icontains=text)
            | Q(ses_message_id__iexact=text)
            | Q(about_label__iexact=text)
        )
        with contextlib.suppress(ValueError):
            found |= Q(uid=uuid.UUID(text))
        return self.filter(found)

    def tests(self) -> Self:
        """Test e-mails, newest first."""
        return self.of_kind(OutboxMessage.TEST).order_by("-created_at", "-id")

    def counts_by_state(self) -> Mapping[str, int]:
        """How many there are in each state that occurs; see in_state. Two queries.

        The first is answered by an index alone, which one query for both could not be.
        """
        counts = dict(self.order_by().values_list("state").annotate(Count("pk")))
        if captured := counts.get(HELD, 0) and self.in_state(CAPTURED).count():
            counts[HELD] -= captured
            counts[CAPTURED] = captured
        return counts

    def for_list(self) -> Self:
        """Without the bodies, which a list does not show."""
        return self.defer("text_body", "html_body", "headers", "reason_detail")


def messages() -> OutboxMessageQuerySet:
    """Every mail that was written."""
    return OutboxMessageQuerySet(OutboxMessage)
