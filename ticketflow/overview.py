"""What the Admin Panel's first page says, put together from all rooms."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings as django_settings
from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import TruncHour
from django.template.defaultfilters import pluralize
from django.urls import reverse

from accounts.models import AuditEntry, Invitation, Role, User
from email_settings.models import OutboxMessage
from email_settings.readiness.outlook import Outlook
from email_settings.reputation.rates import Level, percent
from email_settings.status import GUARDED, MailStatus
from tickets.models import Ticket

HOURS = 24
FEED_LENGTH = 6
GIVEN_UP = [OutboxMessage.State.FAILED, OutboxMessage.State.SUPPRESSED]


@dataclass(frozen=True)
class Step:
    """One thing to do on a fresh installation."""

    title: str
    text: str
    label: str
    url: str
    is_done: bool


@dataclass(frozen=True)
class Matter:
    """Something that needs an admin, and the button that leads to it."""

    tone: str  # "warn" or "bad"
    icon: str
    title: str
    text: str
    label: str
    url: str


@dataclass(frozen=True)
class MailFigures:
    """The last 24 hours of mail."""

    per_hour: list[int]  # written, the oldest hour first
    written: int
    sent: int
    given_up: int


@dataclass(frozen=True)
class TicketFigures:
    unsolved: int
    unassigned: int
    waiting: int  # for the requester
    solved_this_week: int

    @property
    def is_any(self) -> bool:
        return bool(self.unsolved or self.solved_this_week)


@dataclass(frozen=True)
class PeopleFigures:
    active: int
    everybody: int
    agents: int
    invited: int
    expired: int
    unreached: int  # invitations whose mail was given up


@dataclass(frozen=True)
class Change:
    """One line of the history of the panel."""

    who: User | None
    text: str
    at: datetime


def mail_figures(now: datetime) -> MailFigures:
    """One query over the last 24 hours, without mail to the simulator."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    start = this_hour - timedelta(hours=HOURS - 1)
    rows = (
        OutboxMessage.objects.filter(created_at__gte=start)
        .exclude(kind__in=OutboxMessage.PROBES)
        .annotate(hour=TruncHour("created_at", tzinfo=now.tzinfo))
        .values_list("hour", "state")
        .annotate(Count("pk"))
        .order_by()
    )
    per_hour = [0] * HOURS
    by_state: dict[str, int] = {}
    for hour, state, count in rows:
        place = int((hour - start) / timedelta(hours=1))
        per_hour[min(place, HOURS - 1)] += count
        by_state[state] = by_state.get(state, 0) + count
    return MailFigures(
        per_hour=per_hour,
        written=sum(per_hour),
        sent=by_state.get(OutboxMessage.State.SENT, 0),
        given_up=sum(by_state.get(state, 0) for state in GIVEN_UP),
    )


def ticket_figures(now: datetime) -> TicketFigures:
    """Counts of what is not solved, and of last week's solutions. Two queries."""
    figures = Ticket.objects.unsolved().aggregate(
        unsolved=Count("pk"),
        unassigned=Count("pk", filter=Q(assignee=None)),
        waiting=Count("pk", filter=Q(status=Ticket.Status.PENDING)),
    )
    solved = Ticket.objects.filter(
        status__in=[Ticket.Status.SOLVED, Ticket.Status.CLOSED],
        solved_at__gte=now - timedelta(days=7),
    )
    return TicketFigures(**figures, solved_this_week=solved.count())


def people_figures(now: datetime) -> PeopleFigures:
    """Counts of people and of invitations that are open. Two queries."""
    people = User.objects.aggregate(
        everybody=Count("pk"),
        active=Count("pk", filter=Q(is_active=True)),
        agents=Count("pk", filter=Q(is_active=True, role__in=[Role.AGENT, Role.ADMIN])),
    )
    invitations = Invitation.objects.pending().aggregate(
        invited=Count("pk", filter=Q(expires_at__gt=now)),
        expired=Count("pk", filter=Q(expires_at__lte=now)),
        unreached=Count("pk", filter=Q(outbox_message__state__in=GIVEN_UP)),
    )
    return PeopleFigures(**people, **invitations)


def first_steps(
    mail: MailStatus, people: PeopleFigures, *, has_tickets: bool
) -> list[Step]:
    """What makes a fresh installation a help desk; [] once all of it is done."""
    steps = [
        Step(
            "Set up e-mail",
            "Enter your Amazon SES keys and send yourself a test. Until then every "
            "mail is captured here.",
            "Open Email Settings",
            reverse("email_settings:settings"),
            is_done=mail.is_configured,
        ),
        Step(
            "Invite people",
            "Agents answer tickets, requesters open them. Each gets a link to join.",
            "Invite User",
            reverse("accounts:invitation-create"),
            is_done=people.everybody > 1 or people.invited > 0,
        ),
        Step(
            "Open a ticket",
            "Try it as the people who ask you for help will.",
            "New ticket",
            reverse("tickets:ticket-create"),
            is_done=has_tickets,
        ),
    ]
    return [] if all(step.is_done for step in steps) else steps


def matters(
    mail: MailStatus, sent: MailFigures, people: PeopleFigures, tickets: TicketFigures
) -> list[Matter]:
    """What needs an admin besides what the banners of the panel say."""
    return [
        *_matters_of_mail(mail, sent),
        *_matters_of_people(people),
        *_matters_of_tickets(tickets),
    ]


def _matters_of_mail(mail: MailStatus, figures: MailFigures) -> Iterator[Matter]:
    settings_url = reverse("email_settings:settings")
    # What the reputation keeps back goes by itself, and a banner says so.
    if held := mail.held_count - mail.held_for(GUARDED):
        yield Matter(
            "bad",
            "pause",
            f"{held:,} e-mail{pluralize(held, ' is,s are')} held",
            "Nothing is lost; the messages wait for you to send them.",
            "Review and retry",
            f"{mail.activity_url}?state=held",
        )
    if mail.unknown_count:
        yield Matter(
            "warn",
            "help",
            f"{mail.unknown_count:,} e-mail{pluralize(mail.unknown_count)} in doubt",
            "They went out and no answer came. Ask the recipients before you retry.",
            "Show them",
            f"{mail.activity_url}?state=unknown",
        )
    if figures.given_up:
        yield Matter(
            "warn",
            "x-circle",
            f"{figures.given_up:,} e-mail{pluralize(figures.given_up, ' was,s were')} "
            "not sent in the last 24 hours",
            "Amazon SES refused them or they were given up. Each says why.",
            "Show them",
            f"{mail.activity_url}?state=failed",
        )
    yield from _matters_of_the_account(mail, settings_url)
    yield from _matters_of_the_reputation(mail)
    yield from _matters_of_the_set_up(mail, settings_url)


def _matters_of_the_account(mail: MailStatus, settings_url: str) -> Iterator[Matter]:
    if mail.settings.is_from_verified is False:
        yield Matter(
            "bad",
            "at",
            "The From address is not verified",
            f"Amazon SES does not know {mail.settings.from_email} in "
            f"{mail.settings.region} and refuses mail from it.",
            "Open Email Settings",
            settings_url,
        )
    if mail.settings.is_sandbox:
        yield Matter(
            "warn",
            "box",
            "The AWS account is in the sandbox",
            "Mail reaches only addresses that you have verified. Ask AWS for "
            "production access.",
            "Open Email Settings",
            settings_url,
        )


def _matters_of_the_reputation(mail: MailStatus) -> Iterator[Matter]:
    """Name it while it gets worse; that notices are held is said by a banner."""
    bounces, complaints = mail.reputation.both
    rates = f"Bounces {bounces.percent}, complaints {complaints.percent}."
    if mail.is_on_probation:
        yield Matter(
            "bad",
            "alert",
            "AWS has the account under review",
            f"{rates} AWS may stop it next. Answer its case in the Support Center.",
            "Show what bounced",
            f"{mail.activity_url}?fate=bounced",
        )
    elif max(bounces.level, complaints.level) > Level.FINE and not mail.guard:
        is_bounce = bounces.level >= complaints.level
        lines = (bounces if is_bounce else complaints).lines
        yield Matter(
            "warn",
            "alert",
            "Too much mail bounces" if is_bounce else "Too much mail is called spam",
            f"{rates} AWS reviews an account at {percent(lines.review)}.",
            "Show what bounced" if is_bounce else "Show who complained",
            f"{mail.activity_url}?fate={'bounced' if is_bounce else 'complained'}",
        )


def _matters_of_the_set_up(mail: MailStatus, settings_url: str) -> Iterator[Matter]:
    """Name what the checklist found wrong, besides what has a matter of its own."""
    wrong = [
        line
        for line in Outlook.of(mail.settings).wrong
        if not (line.key == "sender" and mail.settings.is_from_verified is False)
    ]
    if wrong:
        yield Matter(
            "bad",
            "mail",
            f"E-mail set-up: {', '.join(line.name for line in wrong)}",
            wrong[0].evidence,
            "Open the checklist",
            f"{settings_url}#line-{wrong[0].key}",
        )


def _matters_of_people(people: PeopleFigures) -> Iterator[Matter]:
    users_url = reverse("accounts:user-list")
    if people.unreached:
        yield Matter(
            "bad",
            "mail",
            f"{people.unreached:,} invitation{pluralize(people.unreached)} did not "
            "leave",
            "Copy the link and pass it on, or resend the invitation.",
            "Open User Management",
            users_url,
        )
    if people.expired:
        yield Matter(
            "warn",
            "clock",
            f"{people.expired:,} invitation{pluralize(people.expired)} expired",
            "Nobody used the link within seven days. Resend or revoke.",
            "Open User Management",
            users_url,
        )


def _matters_of_tickets(tickets: TicketFigures) -> Iterator[Matter]:
    if tickets.unassigned:
        yield Matter(
            "warn",
            "inbox",
            f"{tickets.unassigned:,} ticket{pluralize(tickets.unassigned)} without an "
            "assignee",
            "Nobody has taken them yet.",
            "Open tickets",
            reverse("tickets:ticket-list"),
        )


def headline(mail: MailStatus, steps: list[Step], needs: list[Matter]) -> str:
    """How things stand, in a sentence."""
    if steps:
        return "Three steps make this a help desk."
    if mail.hold or not mail.worker_is_running or mail.is_late:
        return "Mail does not leave as it should."
    if mail.silence:
        return "Mail leaves, and nobody learns what becomes of it."
    if mail.guard and not mail.guard.open_until:
        return "Notices wait, because too much mail bounces or is called spam."
    if needs:
        count = len(needs)
        return f"Everything runs; {count} thing{pluralize(count, ' needs,s need')} you."
    return "Everything runs; nothing needs you."


def recent_changes(mail: MailStatus) -> list[Change]:
    """What admins did lately, the newest first. One query."""
    entries = AuditEntry.objects.select_related("actor").order_by("-created_at", "-id")
    changes = [
        Change(
            entry.actor,
            " ".join(filter(None, [entry.action, entry.target, entry.details])),
            entry.created_at,
        )
        for entry in entries[:FEED_LENGTH]
    ]
    saved = mail.settings
    if saved.saved_at:
        changes.append(Change(saved.saved_by, "saved Email Settings", saved.saved_at))
    changes.sort(key=lambda change: change.at, reverse=True)
    return changes[:FEED_LENGTH]


def installation() -> list[tuple[str, str]]:
    """Where this TicketFlow runs, as far as it can tell."""
    address = django_settings.SITE_URL
    return [
        ("Address", address),
        (
            "Database",
            {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.vendor],
        ),
        ("Wake-ups", "Redis" if django_settings.REDIS_URL else "Inside the worker"),
        ("Transport", "HTTPS" if django_settings.SITE_IS_HTTPS else "HTTP"),
    ]
