"""Email Activity's questions about the outbox."""

import sys
import uuid
from datetime import datetime
from typing import Self

from django.db import connection, models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Concat

from email_settings.models import Fate, OutboxMessage

HELD = OutboxMessage.State.HELD
CAPTURED = "captured"  # held by rehearsal, which is no trouble
REHEARSAL = "rehearsal"  # the reason_code of those


class OutboxMessageQuerySet(models.QuerySet[OutboxMessage]):
    """Mails as an admin looks for them."""

    def of_kind(self, kind: str) -> Self:
        return self.filter(kind=kind)

    def without_canaries(self) -> Self:
        return self.exclude(kind=OutboxMessage.CANARY)

    def in_state(self, state: str) -> Self:
        """Mails in one state, where captured ones count as a state of their own."""
        if state == CAPTURED:
            return self.filter(state=HELD, reason_code=REHEARSAL)
        if state == HELD:
            # Two ranges of an index, where "anything but" would be none.
            is_other = Q(reason_code__lt=REHEARSAL) | Q(reason_code__gt=REHEARSAL)
            return self.filter(is_other, state=HELD)
        return self.filter(state=state)

    def besides(self, **lookups: object) -> Self:
        """Narrow what another filter's index has found, without an index for this.

        Takes lookups of texts as filter() does. SQLite may take the worse of two
        indexes: it does not know how rare a value is.
        """
        names = [lookup.partition("__")[0] for lookup in lookups]
        kept = {f"kept_{name}": Concat(F(name), Value("")) for name in names}
        return self.alias(**kept).filter(
            **{f"kept_{lookup}": value for lookup, value in lookups.items()}
        )

    def with_fate(self, fate: Fate) -> Self:
        """Mails of which Amazon SES told this, and nothing that outweighs it."""
        return self.filter(fate=fate)

    def written_since(self, moment: datetime) -> Self:
        return self.filter(created_at__gte=moment)

    def to_address(self, text: str) -> Self:
        """Mails to that address, or to those that begin so when nobody has it.

        Takes one query of its own.
        """
        text = text.lower()
        exactly = self.filter(recipient_lower=text)
        if exactly.exists():
            return exactly  # its index has them in their order
        if connection.vendor == "postgresql":
            return self.filter(recipient_lower__startswith=text)
        # SQLite finds no range for LIKE; it compares by code points.
        return self.filter(
            recipient_lower__gte=text, recipient_lower__lt=text + chr(sys.maxunicode)
        )

    def about(self, label: str) -> Self:
        return self.filter(about_label=label)

    def with_id(self, text: str) -> Self:
        """The mail with that number of ours, or of Amazon SES."""
        try:
            return self.filter(uid=uuid.UUID(text))
        except ValueError:
            return self.filter(ses_message_id=text.lower())

    def mentioning(self, text: str) -> Self:
        """Mails with the text anywhere in recipient or subject, or with that label or id.

        No index finds them: every row is looked at.
        """
        return self.filter(
            Q(recipient_lower__contains=text.lower())
            | Q(subject__icontains=text)
            | Q(ses_message_id__iexact=text)
            | Q(about_label__iexact=text)
        )

    def tests(self) -> Self:
        """Test e-mails, newest first."""
        return self.of_kind(OutboxMessage.TEST).newest_first()

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def states_as_shown(self) -> "models.QuerySet[OutboxMessage, str]":
        """The state of each, where captured ones have a state of their own."""
        captured = When(state=HELD, reason_code=REHEARSAL, then=Value(CAPTURED))
        shown = Case(captured, default=F("state"), output_field=models.CharField())
        return self.annotate(shown_state=shown).values_list("shown_state", flat=True)

    def for_list(self) -> Self:
        """Without the bodies, which a list does not show."""
        return self.defer("text_body", "html_body", "headers", "reason_detail")


def messages() -> OutboxMessageQuerySet:
    """Every mail that was written."""
    return OutboxMessageQuerySet(OutboxMessage)
