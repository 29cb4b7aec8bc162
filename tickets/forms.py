"""What people may send to the tickets room, field by field."""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import User
from ticketflow.lib.choice_cards import ChoiceCard
from tickets import transitions
from tickets.form_fields import (
    EmailListField,
    FilesField,
    NumbersField,
    PeopleField,
    QueueField,
)
from tickets.models import Queue, Ticket
from tickets.wording import MAX_BODY_LENGTH

if TYPE_CHECKING:  # Django's own class takes no type between brackets
    _QueueModelForm = forms.ModelForm[Queue]
else:
    _QueueModelForm = forms.ModelForm


class SubmissionForm(forms.Form):
    """A form that means one thing however often it is sent.

    Back may bring a sent form again with the key it had. With other words it means
    another thing, so the key depends on them.
    """

    submission_key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def clean_submission_key(self) -> uuid.UUID:
        key: uuid.UUID = self.cleaned_data["submission_key"]
        sizes = [file.size for file in self.files.getlist("files")]
        return uuid.uuid5(key, repr(([field.data for field in self], sizes)))


class TicketForm(SubmissionForm):
    """What a requester says when they ask for something."""

    queue = QueueField(
        Queue.objects.filter(is_active=True),
        label="What is it about?",
        widget=forms.RadioSelect(attrs={"class": "choices-2"}),
        empty_label=None,
        error_messages={
            "required": "Choose what it is about, so that the right people see it.",
            "invalid_choice": "This choice is no longer offered. Choose another one.",
        },
    )
    subject = forms.CharField(
        label="Short summary",
        max_length=150,
        widget=forms.TextInput(
            attrs={
                "placeholder": "For example: Projector in Room Severn turns itself off"
            }
        ),
        error_messages={
            "required": "The summary is missing. A few words are enough.",
            "max_length": "The summary has %(show_value)d characters, 150 fit. "
            "Put the details below.",
        },
    )
    body = forms.CharField(
        label="What happened?",
        max_length=MAX_BODY_LENGTH,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="What did you do, what did you expect, what did you see? "
        "A photo of the screen says a lot.",
        error_messages={
            "required": "The description is missing. Tell us what happened.",
            "max_length": "The text has %(show_value)d characters, 50,000 fit. "
            "Attach the rest as a file.",
        },
    )
    priority = forms.TypedChoiceField(
        label="How much does it hold you up?",
        choices=[
            (Ticket.Priority.LOW, ChoiceCard("A little", "Annoying, I can work")),
            (Ticket.Priority.NORMAL, ChoiceCard("Noticeably", "Part of my work waits")),
            (
                Ticket.Priority.HIGH,
                ChoiceCard("I cannot work", "Or a whole team is stuck"),
            ),
        ],
        coerce=lambda value: Ticket.Priority(int(value)),
        initial=Ticket.Priority.NORMAL,
        widget=forms.RadioSelect(attrs={"class": "choices-3"}),
    )
    files = FilesField(  # type: ignore[assignment]
        label="Photos and files",
        required=False,
        help_text="Up to 5 files, 20 MB each. Please no passwords.",
    )
    watchers = EmailListField(
        label="Keep someone informed",
        required=False,
        widget=forms.TextInput(
            attrs={"inputmode": "email", "placeholder": "colleague@company.example"}
        ),
        help_text="They see the ticket and get every answer by e-mail.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queues = list(Queue.objects.filter(is_active=True))
        if len(self.queues) == 1:  # no question where there is no choice
            self.fields["queue"].widget = forms.HiddenInput()
        if self.queues:
            self.initial.setdefault("queue", self.queues[0].pk)


class AgentTicketForm(TicketForm):
    """An agent opens a ticket, for somebody else or for themselves."""

    requester = forms.EmailField(
        label="Who asks",
        required=False,
        help_text="Their e-mail address. Leave it empty if it is your own request.",
    )
    priority = forms.TypedChoiceField(
        label="Priority",
        choices=Ticket.Priority.choices,
        coerce=lambda value: Ticket.Priority(int(value)),
        initial=Ticket.Priority.NORMAL,
    )

    def clean_requester(self) -> User | None:
        email = self.cleaned_data["requester"]
        if not email:
            return None
        person = User.objects.active().filter(email=email.lower()).first()
        if person is None:
            raise ValidationError(
                "Nobody with this address can sign in here. Check the spelling, or "
                "ask an admin to invite them first."
            )
        return person


class RequesterReplyForm(SubmissionForm):
    """What a requester or watcher answers; always public."""

    body = forms.CharField(
        label="Your reply",
        max_length=MAX_BODY_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4}),
        error_messages={
            "required": "The reply is empty. Write a line, then send it.",
            "max_length": "The text has %(show_value)d characters, 50,000 fit. "
            "Attach the rest as a file.",
        },
    )
    files = FilesField(  # type: ignore[assignment]
        label="Add photos or files", required=False
    )
    # The newest comment that stood on the page: see timeline.newer_than.
    seen = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0)


THEN = [
    (Ticket.Status.PENDING, "Then: waiting"),
    (Ticket.Status.OPEN, "Then: open"),
    (Ticket.Status.ON_HOLD, "Then: on hold"),
    (Ticket.Status.SOLVED, "Then: solved"),
]


class ReplyForm(RequesterReplyForm):
    """The agents' composer: a public reply or an internal note."""

    class Kind:
        REPLY = "reply"
        NOTE = "note"

    kind = forms.ChoiceField(
        choices=[(Kind.REPLY, "Reply"), (Kind.NOTE, "Internal note")],
        initial=Kind.REPLY,
        widget=forms.RadioSelect,
    )
    then = forms.ChoiceField(
        label="Then set status to",
        required=False,
        choices=THEN,
        widget=forms.Select(attrs={"class": "select-sm"}),
    )

    def __init__(self, *args: Any, status: str, **kwargs: Any) -> None:
        """Offer what may follow the ticket's status; a new ticket may stay new."""
        super().__init__(*args, **kwargs)
        if status == Ticket.Status.NEW:
            field = self.fields["then"]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [*THEN, (Ticket.Status.NEW, "Then: still new")]

    @property
    def is_note(self) -> bool:
        return self.cleaned_data.get("kind") == self.Kind.NOTE


class QuietSelect(forms.Select):
    """Properties, which are saved as soon as they change; asks before what is final."""

    def create_option(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(*args, **kwargs)
        if option["value"] == Ticket.Status.CLOSED:
            option["attrs"]["data-confirm"] = (
                "Close this ticket for good? Nobody can answer it or open it again."
            )
            option["attrs"]["data-confirm-label"] = "Close for good"
        return option


class PropertiesForm(forms.Form):
    """Status, priority, assignee and queue of one ticket.

    Each value travels with the one that stood on the page, and only what the person
    changed counts: a stale page does not undo what a colleague did meanwhile.
    """

    def __init__(
        self,
        data: Any = None,
        *,
        user: User,
        ticket: Ticket,
        agents: Sequence[User],
        queues: Sequence[Queue],
    ) -> None:
        initial = {
            "status": ticket.status,
            "priority": ticket.priority,
            "assignee": ticket.assignee_id or "",
            "queue": ticket.queue_id,
        }
        super().__init__(data, initial=initial)
        self.is_final = ticket.status == Ticket.Status.CLOSED
        self._people = {str(agent.pk): agent for agent in agents}
        if ticket.assignee is not None:  # an agent no more, and still the assignee
            self._people.setdefault(str(ticket.assignee.pk), ticket.assignee)
        self._heaps = {str(q.pk): q for q in queues if q.is_active or q == ticket.queue}
        self._choose(
            "status", [(one.value, one.label) for one in _statuses(user, ticket)]
        )
        self._choose(
            "priority",
            [(str(value), label) for value, label in Ticket.Priority.choices],
        )
        self._choose(
            "assignee",
            [("", "Nobody"), *((key, str(one)) for key, one in self._people.items())],
        )
        self._choose("queue", [(key, one.name) for key, one in self._heaps.items()])

    def _choose(self, name: str, choices: list[tuple[Any, str]]) -> None:
        self.fields[name] = forms.ChoiceField(
            label=name.capitalize(),
            choices=choices,
            required=name != "assignee",
            show_hidden_initial=True,
            # For the eye alone: why not is said by the services, to whoever posts.
            widget=QuietSelect(
                attrs={"class": "select-quiet", "disabled": self.is_final}
            ),
        )

    def clean(self) -> None:
        """A value that was left alone is no mistake, even if it is not offered any more."""
        for name in set(self.errors) - set(self.changed_data):
            del self.errors[name]

    def changes(self) -> dict[str, Any]:
        """What the person changed, by field; call it on a valid form only."""
        meant: dict[str, Callable[[str], Any]] = {
            "status": Ticket.Status,
            "priority": lambda value: Ticket.Priority(int(value)),
            "assignee": self._people.get,
            "queue": self._heaps.get,
        }
        return {
            name: meant[name](self.cleaned_data[name]) for name in self.changed_data
        }


def _statuses(user: User, ticket: Ticket) -> list[Ticket.Status]:
    reachable = {*transitions.moves(user, ticket), Ticket.Status(ticket.status)}
    return [status for status in Ticket.Status if status in reachable]


class WatcherForm(forms.Form):
    """One more person who reads along."""

    email = forms.EmailField(
        label="E-mail address",
        error_messages={
            "required": "Write the e-mail address of the person to add.",
            "invalid": "This is not an e-mail address. "
            "Write it like name@company.example.",
        },
    )


# Nothing becomes new again.
BULK_STATUSES = [status for status in Ticket.Status if status != Ticket.Status.NEW]


class BulkForm(forms.Form):
    """One change to many tickets: "assign", "status:solved", "priority:3"."""

    CHANGES = [
        ("assign", "yours"),
        *((f"status:{one.value}", one.label.lower()) for one in BULK_STATUSES),
        *((f"priority:{one.value}", one.label.lower()) for one in Ticket.Priority),
    ]

    ticket = NumbersField()
    do = forms.ChoiceField(choices=CHANGES)
    back = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)
    is_confirmed = forms.BooleanField(required=False, widget=forms.HiddenInput)


class QueueForm(_QueueModelForm):
    """A queue, its words and its people."""

    class Meta:
        model = Queue
        fields = ["name", "description", "icon", "members", "is_active"]
        labels = {
            "description": "What belongs here",
            "members": "Agents who are told of new tickets",
            "is_active": "Takes new tickets",
        }
        help_texts = {
            "description": "Requesters read this when they choose, "
            "for example: Computers, access, software.",
            "members": "Every agent sees every queue. These get an e-mail "
            "when a ticket comes in; with nobody chosen every agent does.",
            "is_active": "Switched off, its tickets stay; nobody can choose it any more.",
        }
        error_messages = {
            "name": {
                "required": "The queue needs a name.",
                "unique": "There is a queue of this name. Choose another name.",
            }
        }
        field_classes = {"members": PeopleField}
        widgets = {"icon": forms.RadioSelect, "members": forms.CheckboxSelectMultiple}

    icon = forms.ChoiceField(
        choices=[
            (name, ChoiceCard(title, "", name))
            for name, title in [
                ("inbox", "Tray"),
                ("laptop", "Computer"),
                ("wallet", "Wallet"),
                ("building", "Building"),
                ("box", "Parcel"),
                ("phone", "Phone"),
                ("key", "Key"),
                ("users", "People"),
            ]
        ],
        initial="inbox",
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = self.fields["members"]
        if isinstance(members, forms.ModelMultipleChoiceField):
            members.queryset = User.objects.active().agents().order_by("name", "id")
