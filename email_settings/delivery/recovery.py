"""What a worker left behind when it died, and what waited too long."""

from django.db import transaction
from django.db.models import Case, F, Q, TextField, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from email_settings.delivery.settle import wipe_secrets
from email_settings.gateway.errors import problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage

# Messages in one go: SQLite takes 32,766 values a statement. The next run, some seconds
# later, goes on.
AT_ONCE = 10_000

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


@transaction.atomic
def recover() -> None:
    """Put in order what nobody holds any more. Harmless to repeat, in any process."""
    call_unknown_what_lost_its_lease()
    give_up_what_expired()


def call_unknown_what_lost_its_lease() -> None:
    """Mark messages whose worker died while it may have been sending them.

    Whether Amazon SES took them is not known, so a person decides; sending again by
    itself could mail somebody twice.
    """
    now = timezone.now()
    lost = OutboxMessage.objects.filter(state=State.SENDING, lease_until__lt=now)
    message_ids = list(
        lost.select_for_update(skip_locked=True).values_list("pk", flat=True)[:AT_ONCE]
    )
    if not message_ids:
        return
    problem = problem_for("worker_stopped")
    lost.filter(pk__in=message_ids).update(
        state=State.UNKNOWN,
        reason_code=problem.code,
        reason=problem.title,
        reason_detail="",
        claim_token="",
        lease_until=None,
    )
    DeliveryAttempt.objects.filter(
        message__in=message_ids, outcome=Result.STARTED
    ).update(outcome=Result.UNKNOWN, finished_at=now, error_code=problem.code)


def give_up_what_expired() -> None:
    """Fail messages that waited longer than sending them makes sense.

    Those of a rehearsal were never meant to leave: they stay to be read, but the
    secret ones among them lose their bodies.
    """
    waiting = OutboxMessage.objects.filter(
        Q(state=State.QUEUED) | Q(state=State.HELD), expires_at__lte=timezone.now()
    )
    rehearsed = Q(reason_code="rehearsal", state=State.HELD)
    waiting.filter(rehearsed, is_secret=True).exclude(text_body="").update(
        text_body="", html_body=""
    )
    message_ids = list(
        waiting.exclude(rehearsed)
        .select_for_update(skip_locked=True)
        .values_list("pk", flat=True)[:AT_ONCE]
    )
    if not message_ids:
        return
    problem = problem_for("expired")
    waiting.filter(pk__in=message_ids).update(
        state=State.FAILED,
        reason_code=problem.code,
        # With what kept it from leaving, as far as that is known
        reason=Case(
            When(reason="", then=Value(problem.title)),
            default=Concat(Value(f"{problem.title} "), F("reason")),
            output_field=TextField(),
        ),
    )
    wipe_secrets(message_ids)
