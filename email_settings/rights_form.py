"""What an admin chooses before copying rights for AWS. Nothing of it is saved."""

from typing import Any

from django import forms

from email_settings.forms import AddressField, sentence
from email_settings.gateway.regions import regions
from email_settings.models import SesSettings
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import FEATURES, USUAL, Feature


class RightsForm(forms.Form):
    """The features, the region and the sender that the rights are for."""

    use_required_attribute = False

    feature = forms.TypedMultipleChoiceField(
        label="What may TicketFlow do?",
        coerce=Feature,
        choices=[(feature.value, about) for feature, about in FEATURES.items()],
        error_messages={
            "required": sentence("Choose at least one.", "Sending is what most need."),
            "invalid_choice": sentence("There is no such right.", "Choose again."),
        },
    )
    region = forms.ChoiceField(
        label="AWS Region",
        error_messages={
            "required": sentence(
                "Choose the region.", "It is the one in which From is verified."
            ),
            "invalid_choice": sentence(
                "Amazon SES has no such region.", "Choose one from the list."
            ),
        },
    )
    from_email = AddressField(
        label="From Email",
        help_text="The rights are for this one sender.",
        error_messages={
            "required": sentence(
                "Say who the mail is from.", "The key may send as nobody else."
            )
        },
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    narrow = forms.BooleanField(
        label="Name the sender’s identities instead of every one",
        required=False,
        help_text="Only once the account is out of the sandbox: there AWS asks for a "
        "right to each recipient, too.",
    )

    def __init__(self, data: Any, *, stored: SesSettings) -> None:
        self.stored = stored
        initial = {
            "feature": list(USUAL),
            "region": stored.region,
            "from_email": stored.from_email,
            "narrow": Place.of(stored).is_narrow,
        }
        if not data and stored.region and stored.from_email:
            # What is usual, as if it had been chosen
            data = initial
        super().__init__(data or None, initial=initial)
        field = self.fields["region"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(code, f"{label}, {code}") for code, label in regions()]
        if not stored.region:
            field.choices = [("", "Choose …"), *field.choices]

    @property
    def features(self) -> list[Feature]:
        """What is chosen. Only for a valid form."""
        found: list[Feature] = self.cleaned_data["feature"]
        return found

    @property
    def place(self) -> Place:
        """Where the rights are for. Only for a valid form."""
        values = self.cleaned_data
        return Place.of(
            self.stored,
            region=values["region"],
            from_email=values["from_email"],
            is_narrow=values["narrow"],
        )
