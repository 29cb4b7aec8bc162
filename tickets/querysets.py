"""Who may see which ticket, as queries."""

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from accounts.models import User


class TicketQuerySet(models.QuerySet["Ticket"]):
    def visible_to(self, user: "User") -> Self:
        """Agents see all; others what they asked for or watch."""
        if not user.is_active:
            return self.none()
        if user.is_agent:
            return self
        watched = self.model._meta.get_field("watchers").related_model.objects
        return self.filter(
            models.Q(requester=user)
            | models.Q(pk__in=watched.filter(user=user).values("ticket_id"))
        )


class CommentQuerySet(models.QuerySet["Comment"]):
    def visible_to(self, user: "User") -> Self:
        """Internal notes are for agents only."""
        return self if user.is_agent else self.filter(visibility="public")
