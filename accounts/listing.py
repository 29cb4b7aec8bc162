"""The lists of User Management: a filter from the address, a page of rows, the tabs."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts import reach
from accounts.models import Invitation, Role, User
from email_settings.models import OutboxMessage
from email_settings.querysets import REHEARSAL
from email_settings.suppression.standing import Standing, standings
from ticketflow.lib.pagination import Page, paginate

PEOPLE_ON_A_PAGE = 50
INVITATIONS_ON_A_PAGE = 20

ROLES_AND_STATES = {
    "": ("Everyone", Q()),
    "admins": ("Admins", Q(role=Role.ADMIN)),
    "agents": ("Agents", Q(role=Role.AGENT)),
    "requesters": ("Requesters", Q(role=Role.REQUESTER)),
    "deactivated": ("Deactivated", Q(is_active=False)),
}
TROUBLE = (
    OutboxMessage.State.HELD,
    OutboxMessage.State.FAILED,
    OutboxMessage.State.UNKNOWN,
    OutboxMessage.State.SUPPRESSED,
)


@dataclass(frozen=True)
class Tab:
    """One of the filters, with how many rows it has."""

    label: str
    count: int
    url: str
    is_current: bool


@dataclass(frozen=True)
class People:
    """A page of people, each with why mail does not reach them; None where it does."""

    page: Page[User]
    rows: list[tuple[User, Standing | None]]
    tabs: list[Tab]
    tab: str
    text: str
    previous_url: str
    next_url: str


@dataclass(frozen=True)
class Invitations:
    """A page of invitations, and what stands above it."""

    page: Page[Invitation]
    rows: list[reach.InvitationRow]
    tabs: list[Tab]
    trouble_count: int
    previous_url: str
    next_url: str


def people(query: Mapping[str, str]) -> People:
    """Return the people that the address asks for. Three queries."""
    # PostgreSQL takes no NUL in a text.
    text = query.get("q", "").replace("\0", "").strip()[:100]
    tab = query.get("show", "")
    if tab not in ROLES_AND_STATES:
        tab = ""
    found = User.objects.all().matching(text)
    counts = found.aggregate(
        **{
            f"in_{slug}": Count("pk", filter=condition) if condition else Count("pk")
            for slug, (_, condition) in ROLES_AND_STATES.items()
        }
    )
    page = paginate(
        found.filter(ROLES_AND_STATES[tab][1]),
        order=["name", "id"],
        cursor=query.get("page", ""),
        size=PEOPLE_ON_A_PAGE,
    )
    barred = standings(person.email for person in page.rows)
    return People(
        page=page,
        rows=[(person, barred.get(person.email)) for person in page.rows],
        tabs=[
            Tab(
                label=label,
                count=counts[f"in_{slug}"],
                url=_url(show=slug, q=text),
                is_current=slug == tab,
            )
            for slug, (label, _) in ROLES_AND_STATES.items()
        ],
        tab=tab,
        text=text,
        previous_url=_page_url("page", page.previous_cursor, show=tab, q=text),
        next_url=_page_url("page", page.next_cursor, show=tab, q=text),
    )


def invitations(query: Mapping[str, str]) -> Invitations:
    """Return the invitations, pending ones unless the address asks for all. Three queries."""
    is_all = query.get("invitations") == "all"
    pending = Q(accepted_at=None, revoked_at=None)
    counts = Invitation.objects.aggregate(
        everything=Count("pk"),
        pending=Count("pk", filter=pending),
        trouble=Count(
            "pk",
            filter=pending
            & Q(expires_at__gt=timezone.now())
            & (
                Q(outbox_message__state__in=TROUBLE)
                | Q(outbox_message__fate__in=reach.LOST)
            )
            # Captured mail is what an admin chose, not trouble.
            & ~Q(outbox_message__reason_code=REHEARSAL),
        ),
    )
    rows: QuerySet[Invitation] = Invitation.objects.select_related(
        "invited_by", "outbox_message", "accepted_by"
    ).defer("outbox_message__text_body", "outbox_message__html_body")
    page = paginate(
        rows if is_all else rows.filter(pending),
        order=["-created_at", "-id"],
        cursor=query.get("invited", ""),
        size=INVITATIONS_ON_A_PAGE,
    )
    which = "all" if is_all else ""
    return Invitations(
        page=page,
        rows=reach.InvitationRow.of(page.rows),
        tabs=[
            Tab("Pending", counts["pending"], _url(), not is_all),
            Tab("All", counts["everything"], _url(invitations="all"), is_all),
        ],
        trouble_count=counts["trouble"],
        previous_url=_page_url("invited", page.previous_cursor, invitations=which),
        next_url=_page_url("invited", page.next_cursor, invitations=which),
    )


def _page_url(name: str, cursor: str, **filters: str) -> str:
    return _url(**filters, **{name: cursor}) if cursor else ""


def _url(**filters: str) -> str:
    query = urlencode({key: value for key, value in filters.items() if value})
    path = reverse("accounts:user-list")
    return f"{path}?{query}" if query else path
