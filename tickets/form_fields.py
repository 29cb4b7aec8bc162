"""Fields that take files, lists of addresses and ticked rows."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_email

from accounts.models import User
from ticketflow.lib.choice_cards import ChoiceCard
from tickets.listing import PAGE_SIZE
from tickets.models import Queue

if TYPE_CHECKING:  # Django's own class takes no type between brackets
    _QueueChoiceField = forms.ModelChoiceField[Queue]
    _PeopleField = forms.ModelMultipleChoiceField[User]
else:
    _QueueChoiceField = forms.ModelChoiceField
    _PeopleField = forms.ModelMultipleChoiceField

MAX_ADDRESSES = 10
LONGEST_NUMBER = 18  # digits that fit a bigint whatever they are


class ManyFilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files; how many and how large is the services' rule."""

    widget = ManyFilesInput

    def __init__(self, **kwargs: Any) -> None:
        # The services refuse an empty one by its name.
        super().__init__(allow_empty_file=True, **kwargs)

    def clean(self, data: Any, initial: Any = None) -> "list[UploadedFile[Any]]":
        one_by_one = data if isinstance(data, list) else [data] if data else []
        return [super(FilesField, self).clean(file, initial) for file in one_by_one]


class PeopleField(_PeopleField):
    """Ticked people; a number that no database holds is nobody's."""

    def clean(self, value: Any) -> Any:
        for one in value or ():
            if not str(one).isascii() or len(str(one)) > LONGEST_NUMBER:
                raise ValidationError(
                    self.error_messages["invalid_pk_value"],
                    code="invalid_pk_value",
                    params={"pk": str(one)[:LONGEST_NUMBER]},
                )
        return super().clean(value)


class EmailListField(forms.CharField):
    """Addresses with commas, semicolons or spaces between them, cleaned to a list."""

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value).replace(",", " ").replace(";", " ")
        addresses = list(dict.fromkeys(part.lower() for part in text.split()))
        if len(addresses) > MAX_ADDRESSES:
            raise ValidationError(
                f"These are {len(addresses)} addresses. Name at most "
                f"{MAX_ADDRESSES}; you can add more on the ticket."
            )
        for address in addresses:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(
                    f"“{address}” is not an e-mail address. "
                    "Write it like name@company.example."
                ) from None
        return addresses


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


class NumbersField(forms.Field):
    """The numbers of the ticked rows."""

    widget = forms.MultipleHiddenInput
    default_error_messages = {
        "required": "No ticket is selected. Tick the tickets first.",
        "invalid": "Select the tickets again.",
    }

    def clean(self, value: Any) -> list[int]:
        values = super().clean(value)
        if len(values) > PAGE_SIZE or not all(map(_is_number, values)):
            raise ValidationError(self.error_messages["invalid"])
        return list(dict.fromkeys(map(int, values)))


class QueueField(_QueueChoiceField):
    """A queue, shown with its icon and what belongs there."""

    def label_from_instance(self, obj: Queue) -> Any:
        return ChoiceCard(obj.name, obj.description, obj.icon)
