"""Whether the key may do what TicketFlow does with it, by what it met already."""

from django.db.models import QuerySet

from email_settings.gateway.errors import recall
from email_settings.models import DeliveryAttempt, OutboxMessage
from email_settings.provisioning.policy import statement_for
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import NO_PERMISSION, Look

DENIED = "access_denied"
# Of the newest mails that left one is looked for that these settings sent.
LOOKED_AT = 50


def permission(look: Look) -> Finding:
    """Read what the last mails and reads met; nobody is asked.

    A mail is the only question that tells: whether sending is allowed depends on
    sender, recipient and configuration set as well.
    """
    if denied := _denial(look):
        return denied
    sent = _sent_with_these_settings(look)
    reads = _denied_reads(look)
    if sent is None:
        return Finding(
            State.TODO,
            "Not tried",
            f"No mail was sent with this key in {look.sender.region} since the settings "
            f"were saved. {reads}".strip(),
            "Press Send Test Email.",
        )
    return Finding(
        State.DONE,
        "May send",
        f"Amazon SES took a mail with this key on {sent.started_at:%-d %B at %H:%M} UTC. "
        f"{reads}".strip(),
    )


def _denial(look: Look) -> Finding | None:
    """Return what to do when mail is held because the key may not send it."""
    sender = look.sender
    if sender.hold_code == DENIED:
        words = sender.hold_detail
    else:
        held = OutboxMessage.objects.filter(
            state=OutboxMessage.State.HELD, reason_code=DENIED
        )
        newest = held.order_by("-created_at").values_list("reason_detail", flat=True)
        found = newest.first()
        if found is None:
            return None
        words = found
    problem = recall(
        DENIED, detail=words, from_email=sender.from_email, region=sender.region
    )
    fix, colon, _ = problem.fix.partition(": {")
    return Finding(
        State.WRONG,
        NO_PERMISSION,
        f"{problem.title} {problem.why}",
        f"{fix}." if colon else fix,
        statement=statement_for("ses:SendRawEmail", sender) if colon else "",
        words=words,
    )


def _sent_with_these_settings(look: Look) -> DeliveryAttempt | None:
    """Return the newest try that SES took with this key, region and settings."""
    sender = look.sender
    sent = OutboxMessage.objects.filter(state=OutboxMessage.State.SENT)
    if sender.saved_at:
        sent = sent.filter(sent_at__gte=sender.saved_at)
    newest = list(sent.order_by("-sent_at").values_list("pk", flat=True)[:LOOKED_AT])
    tries: QuerySet[DeliveryAttempt] = DeliveryAttempt.objects.filter(
        message__in=newest,
        outcome=DeliveryAttempt.Outcome.ACCEPTED,
        access_key_hint=sender.key_hint,
        region=sender.region,
    )
    return tries.order_by("-started_at").first()


def _denied_reads(look: Look) -> str:
    """Name the questions that the key may not ask."""
    denied = {
        problem_words
        for line in look.lines.values()
        if line.said == NO_PERMISSION and line.key != "permission"
        for problem_words in [line.evidence.partition(": ")[2].partition(". ")[0]]
    }
    if not denied:
        return ""
    return f"It may not do {', '.join(sorted(denied))}; those lines show what to add."
