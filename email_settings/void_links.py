"""Calls mail back whose link opens nothing any more, wherever it stands."""

from collections.abc import Sequence

from django.db.models import Case, F, Q, QuerySet, TextField, Value, When

from email_settings.delivery.clock import database_now
from email_settings.gateway.catalogue import problem_for
from email_settings.models import OutboxMessage

State = OutboxMessage.State

LINK_VOID = "link_void"  # the reason_code of what was called back for its link


def void_links(messages: QuerySet[OutboxMessage]) -> int:
    """Have none of these mails sent any more: their links open nothing now.

    What waits is cancelled. So is what is in doubt, and says that it may have arrived:
    nobody must send it again. What is on its way just now can't be called back, but its
    time is over, so that it is not tried again, be it by itself or by hand; should its
    call end without an answer, call_off_in_doubt() cancels it then. The bodies of what
    is cancelled are wiped. Returns how many messages were changed.
    """
    problem = problem_for(LINK_VOID)
    on_its_way = Q(state=State.SENDING)

    def unless_on_its_way(name: str, new: str, *others: When) -> Case:
        return Case(
            When(on_its_way, then=F(name)),
            *others,
            default=Value(new),
            output_field=TextField(),
        )

    in_doubt = When(
        state=State.UNKNOWN, then=Value(f"It may have arrived. {problem.title}")
    )
    # One statement decides the race with a worker that claims or settles one of them.
    return messages.filter(
        state__in=[State.QUEUED, State.HELD, State.UNKNOWN, State.SENDING]
    ).update(
        state=unless_on_its_way("state", State.CANCELLED),
        expires_at=Case(
            When(on_its_way, then=Value(database_now())), default=F("expires_at")
        ),
        reason_code=unless_on_its_way("reason_code", problem.code),
        reason=unless_on_its_way("reason", problem.title, in_doubt),
        reason_detail=unless_on_its_way("reason_detail", ""),
        text_body=unless_on_its_way("text_body", ""),
        html_body=unless_on_its_way("html_body", ""),
    )


def call_off_in_doubt(message_ids: Sequence[int]) -> None:
    """Cancel those that have just become unknown and whose link is void by now.

    For whatever ends a call without an answer: the link may have become void meanwhile,
    and such a message must neither be sent again nor keep its link.
    """
    if not message_ids:
        return
    void_links(
        OutboxMessage.objects.filter(
            pk__in=message_ids,
            is_secret=True,
            state=State.UNKNOWN,
            expires_at__lte=database_now(),
        )
    )
