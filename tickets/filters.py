"""What the agents' list is narrowed to, as it stands in the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import BigIntegerField

from accounts.models import User
from tickets.listing import LIST_VIEWS, statuses_in
from tickets.models import Queue, Ticket
from tickets.views_catalogue import TicketView

Choices = list[tuple[Any, str]]

SORTS = {
    "updated": "Newest activity first",
    "oldest": "Oldest activity first",
    "priority": "Most urgent first",
}


class TicketFilterForm(forms.Form):
    """What the list shows and in which order; it lives in the address.

    A value that makes no sense is left out rather than refused: addresses are kept
    in bookmarks, and the agent in one may have left.
    """

    view = forms.ChoiceField(required=False)
    q = forms.CharField(required=False, max_length=200)
    status = forms.MultipleChoiceField(required=False)
    priority = forms.TypedMultipleChoiceField(required=False, coerce=int)
    assignee = forms.MultipleChoiceField(required=False)
    queue = forms.MultipleChoiceField(required=False)
    requester = forms.IntegerField(
        required=False, min_value=1, max_value=BigIntegerField.MAX_BIGINT
    )
    sort = forms.ChoiceField(required=False, choices=SORTS)
    cursor = forms.CharField(required=False, max_length=500)

    def __init__(
        self, data: Any, *, agents: Sequence[User], queues: Sequence[Queue]
    ) -> None:
        super().__init__(data)
        self.offers: dict[str, Choices] = {}
        self._offer("view", [(slug, view.title) for slug, view in LIST_VIEWS.items()])
        self._offer("status", Ticket.Status.choices)
        self._offer("priority", Ticket.Priority.choices[::-1])  # the urgent ones first
        self._offer("queue", [(one.pk, one.name) for one in queues])
        self._offer(
            "assignee",
            [
                ("me", "Me"),
                ("nobody", "Nobody"),
                *((agent.pk, str(agent)) for agent in agents),
            ],
        )

    def menus(self, view: TicketView) -> "list[FilterMenu]":
        """Return the filters with what is chosen in each; call it after is_valid()."""
        self.offers["status"] = [(one, one.label) for one in statuses_in(view)]
        return [
            self._menu("status", "Status"),
            self._menu("priority", "Priority"),
            self._menu("assignee", "Assignee"),
            self._menu("queue", "Queue"),
        ]

    def _menu(self, name: str, title: str) -> "FilterMenu":
        chosen = {str(value) for value in self.cleaned_data.get(name, ())}
        options = [
            FilterOption(value, label, is_chosen=str(value) in chosen)
            for value, label in self.offers[name]
        ]
        return FilterMenu(name, title, options)

    def _offer(self, name: str, choices: Choices) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = self.offers[name] = choices


@dataclass(frozen=True)
class FilterOption:
    value: Any
    label: str
    is_chosen: bool


@dataclass(frozen=True)
class FilterMenu:
    """One filter of the list: its name in the address, its title, its values."""

    name: str
    title: str
    options: list[FilterOption]

    @property
    def chosen(self) -> str:
        """What is chosen, in words; "" when nothing is."""
        return ", ".join(option.label for option in self.options if option.is_chosen)
