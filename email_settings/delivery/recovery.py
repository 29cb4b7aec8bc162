"""What a worker left behind when it died, and what waited too long."""

import logging
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Concat

from email_settings import alerts
from email_settings.delivery import doubt, journal
from email_settings.delivery.clock import database_now
from email_settings.delivery.journal import LeftBehind
from email_settings.delivery.secret_bodies import wipe_secrets
from email_settings.gateway.errors import problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage
from email_settings.void_links import call_off_in_doubt

logger = logging.getLogger(__name__)

# Messages in one transaction; the next run, some seconds later, goes on.
AT_ONCE = 1_000

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


def recover() -> None:
    """Put in order what nobody holds any more. Harmless to repeat, in any process."""
    replay_journals()
    with transaction.atomic():
        call_unknown_what_lost_its_lease()
        give_up_what_expired()


# Workers of this machine that died


def replay_journals() -> None:
    """Decide about what dead workers of this machine left, by what they wrote down.

    What was never on the wire is queued again at once, what Amazon SES took is sent, and
    only what was on the wire at that moment is unknown.
    """
    for left in journal.left_behind():
        with transaction.atomic():
            _replay(left)
        left.remove()


def _replay(left: LeftBehind) -> None:
    _resolve_accepted(left)
    attempts = _lock_leased_by(left.run)
    started = [a for a in attempts if a.uid in left.started]
    _call_unknown([attempt.message_id for attempt in started])
    unsent = [a for a in attempts if a.uid not in left.started]
    if left.is_whole:
        _queue_again(unsent)
    if attempts:
        logger.warning(
            "recovery: a worker died; %s of its messages may have left, %s had not yet",
            len(started),
            len(unsent),
        )


def _resolve_accepted(left: LeftBehind) -> None:
    numbers = list(left.accepted)
    for begin in range(0, len(numbers), AT_ONCE):
        unresolved = DeliveryAttempt.objects.filter(
            uid__in=numbers[begin : begin + AT_ONCE],
            outcome__in=[Result.STARTED, Result.UNKNOWN],
        )
        doubt.resolve_late(
            (uid, left.accepted[uid], left.written_at)
            for uid in unresolved.values_list("uid", flat=True)
        )


def _lock_leased_by(run: str) -> list[DeliveryAttempt]:
    """Return the last attempt of each message that this run still holds."""
    messages = OutboxMessage.objects.filter(
        state=State.SENDING, claim_token__startswith=run
    ).select_for_update()
    return list(
        DeliveryAttempt.objects.filter(
            message__in=list(messages.order_by("pk").values_list("pk", flat=True)),
            number=F("message__claims"),
        )
    )


def _queue_again(attempts: Sequence[DeliveryAttempt]) -> None:
    """Queue messages that were never sent; that try does not count."""
    problem = problem_for("not_started")
    OutboxMessage.objects.filter(
        pk__in=[attempt.message_id for attempt in attempts]
    ).update(
        state=State.QUEUED,
        attempts=F("attempts") - 1,
        claim_token="",
        lease_until=None,
        reason_code=problem.code,
        reason=problem.title,
        reason_detail="",
    )
    DeliveryAttempt.objects.filter(pk__in=[attempt.pk for attempt in attempts]).update(
        outcome=Result.NOT_SENT, finished_at=database_now(), error_code=problem.code
    )


# Workers of other machines, and where there is no journal


def call_unknown_what_lost_its_lease() -> None:
    """Mark messages whose worker died while it may have been sending them.

    Whether Amazon SES took them is not known, so a person decides; sending again by
    itself could mail somebody twice. A worker that was only slow may still tell.
    Needs a transaction.
    """
    lost = OutboxMessage.objects.filter(
        state=State.SENDING, lease_until__lt=database_now()
    ).select_for_update(skip_locked=True)
    _call_unknown(list(lost.values_list("pk", flat=True)[:AT_ONCE]))


def _call_unknown(message_ids: Sequence[int]) -> None:
    if not message_ids:
        return
    problem = problem_for("worker_stopped")
    lost = OutboxMessage.objects.filter(pk__in=message_ids, state=State.SENDING)
    doubted = lost.exclude(kind__in=alerts.WITHOUT_ALERT).count()
    lost.update(
        state=State.UNKNOWN,
        reason_code=problem.code,
        reason=problem.title,
        reason_detail="",
        claim_token="",
        lease_until=None,
    )
    DeliveryAttempt.objects.filter(
        message__in=message_ids, outcome=Result.STARTED
    ).update(
        outcome=Result.UNKNOWN, finished_at=database_now(), error_code=problem.code
    )
    call_off_in_doubt(message_ids)
    alerts.mails_in_doubt(doubted)


# What waited too long


def give_up_what_expired() -> None:
    """Fail messages that waited longer than sending them makes sense.

    Those of a rehearsal were never meant to leave: they stay to be read, but the
    secret ones among them lose their bodies. Needs a transaction.
    """
    expired = Q(expires_at__lte=database_now())
    _waiting("state = 'held' AND reason_code = 'rehearsal'").filter(
        expired, is_secret=True
    ).exclude(text_body="").update(text_body="", html_body="")
    waiting = (
        _waiting("state IN ('queued', 'held')")
        .filter(expired)
        .exclude(state=State.HELD, reason_code="rehearsal")
        .select_for_update(skip_locked=True)
    )
    _give_up(list(waiting.values_list("pk", flat=True)[:AT_ONCE]))


def _waiting(condition: str) -> QuerySet[OutboxMessage]:
    """Return messages in these states, which stand there as literals.

    Else SQLite does not see that the partial index for them fits.
    """
    return OutboxMessage.objects.extra(where=[condition])  # noqa: S610  # literals


def _give_up(message_ids: Sequence[int]) -> None:
    if not message_ids:
        return
    problem = problem_for("expired")
    OutboxMessage.objects.filter(pk__in=message_ids).update(
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
