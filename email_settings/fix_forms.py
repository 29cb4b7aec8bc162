"""What an admin chooses before something is made in AWS."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from email_settings.forms import sentence
from email_settings.models import SesSettings
from email_settings.readiness import fixes
from email_settings.readiness.checks.identities import domain_of, with_parents
from email_settings.readiness.request_text import public_site, request_text
from ticketflow.lib.choice_cards import ChoiceCard

# Limits of PutAccountDetails
# (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_PutAccountDetails.html)
LONGEST_WEBSITE, LONGEST_TEXT, MOST_CONTACTS = 1000, 5000, 4
_DOMAIN = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"
)


class IdentityForm(forms.Form):
    """The domain of the sender, one above it, or the address alone."""

    use_required_attribute = False

    name = forms.ChoiceField(
        label="What to create",
        widget=forms.RadioSelect,
        error_messages={
            "required": sentence("Choose one.", "The domain is what most need."),
            "invalid_choice": sentence(
                "That does not belong to From Email.", "Choose one from the list."
            ),
        },
    )

    def __init__(self, data: Any, *, sender: SesSettings) -> None:
        *domains, address = fixes.names_for(sender.from_email)
        super().__init__(data, initial={"name": domains[0]})
        cards = [
            (name, ChoiceCard(name, _about_domain(name), "at")) for name in domains
        ]
        about = (
            "AWS sends a mail with a link to it. For a first try; no DKIM of your own."
        )
        cards.append((address, ChoiceCard(address, about, "mail")))
        field = self.fields["name"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = cards


def _about_domain(name: str) -> str:
    return (
        f"Every address at {name} and below may be used. You enter three records with "
        "your DNS provider."
    )


class MailFromForm(forms.Form):
    """A name below the sender's domain, for bounces alone."""

    use_required_attribute = False

    domain = forms.CharField(
        label="MAIL FROM domain",
        max_length=253,
        help_text="A name that is used for nothing else: no mail server, no web site.",
        error_messages={
            "required": sentence("It is missing.", "Fill in a name below your domain."),
        },
        widget=forms.TextInput(
            attrs={
                "autocapitalize": "none",
                "spellcheck": "false",
                "autocomplete": "off",
            }
        ),
    )

    def __init__(self, data: Any, *, sender: SesSettings) -> None:
        self.own = domain_of(sender.from_email)
        initial = {"domain": fixes.usual_mail_from(sender.from_email)}
        super().__init__(data, initial=initial)

    def clean_domain(self) -> str:
        """Return the name in small letters, if it lies below the sender's domain."""
        name = str(self.cleaned_data["domain"]).lower().rstrip(".")
        if not _DOMAIN.fullmatch(name):
            raise ValidationError(
                sentence("This is no domain.", f"Write it like bounce.{self.own}.")
            )
        if not any(name.endswith(f".{above}") for above in with_parents(self.own)):
            raise ValidationError(
                sentence(
                    f"It must lie below {self.own}.",
                    f"Write it like bounce.{self.own}.",
                )
            )
        return name


class ProductionForm(forms.Form):
    """What AWS is told about this help desk."""

    use_required_attribute = False

    website = forms.URLField(
        label="Website",
        max_length=LONGEST_WEBSITE,
        assume_scheme="https",
        help_text="AWS looks at it: an address that only your own network reaches is no "
        "help.",
        error_messages={
            "required": sentence("It is missing.", "AWS takes no request without."),
            "invalid": sentence("This is no web address.", "Write it with https://."),
        },
    )
    use_case = forms.CharField(
        label="How you use it",
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 16}),
        help_text="Drafted from this installation. Read it, and change what is not so.",
        error_messages={
            "required": sentence("It is missing.", "Say what is mailed to whom."),
        },
    )
    contacts = forms.CharField(
        label="Who else AWS answers to",
        required=False,
        max_length=1300,
        help_text="Up to four addresses with commas between. The owner of the account is "
        "told in any case.",
    )

    def __init__(self, data: Any, *, sender: SesSettings) -> None:
        initial = {"website": public_site(), "use_case": request_text(sender)}
        super().__init__(data, initial=initial)

    def clean_contacts(self) -> list[str]:
        """Return the addresses, at most four."""
        given = str(self.cleaned_data["contacts"]).split(",")
        found = [address.strip() for address in given if address.strip()]
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(
                    sentence(f"{address} is no address.", "Correct it or take it out.")
                ) from None
        if len(found) > MOST_CONTACTS:
            raise ValidationError(
                sentence("These are too many.", f"AWS takes {MOST_CONTACTS}.")
            )
        return found
