"""Who may see which ticket, as queries."""

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from accounts.models import User
    from tickets.models import Comment, Ticket, TicketEvent  # noqa: F401 - in strings


class TicketQuerySet(models.QuerySet["Ticket"]):
    def visible_to(self, user: "User") -> Self:
        """Agents see all; others what they asked for or watch."""
        if not user.is_active:
            return self.none()
        if user.is_agent:
            return self
        # A union, not an OR: each half reads its own index, whatever the table's size.
        every = self.model._base_manager
        asked = every.filter(requester=user).values("pk")
        return self.filter(
            pk__in=asked.union(every.filter(watchers__user=user).values("pk"))
        )

    def unsolved(self) -> Self:
        """Work that is left: neither solved nor closed."""
        return self._unsolved(is_it=True)

    def finished(self) -> Self:
        """Solved or closed."""
        return self._unsolved(is_it=False)

    def _unsolved(self, *, is_it: bool) -> Self:
        # IN, because "= true" comes out as the bare column, for which SQLite uses no
        # index.
        return self.filter(is_unsolved__in=[is_it])

    def unassigned(self) -> Self:
        return self.filter(assignee=None)

    def assigned_to(self, user: "User") -> Self:
        return self.filter(assignee=user)


class CommentQuerySet(models.QuerySet["Comment"]):
    def visible_to(self, user: "User") -> Self:
        """Internal notes are for agents only."""
        return self if user.is_agent else self.filter(visibility="public")


class TicketEventQuerySet(models.QuerySet["TicketEvent"]):
    # What is between agents: notes, and the help desk's own way of sorting its work.
    FOR_AGENTS_ONLY = ("noted", "priority", "queue", "undelivered")

    def visible_to(self, user: "User") -> Self:
        """Requesters read the history without what agents keep among themselves."""
        if user.is_agent:
            return self
        return self.exclude(kind__in=self.FOR_AGENTS_ONLY)
