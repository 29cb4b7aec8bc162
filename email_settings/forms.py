"""What an admin types about Amazon SES, checked for its shape before AWS is asked."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_variables

from email_settings.credentials import Secret, external_id_of, is_server_role_allowed
from email_settings.gateway.regions import regions
from email_settings.models import SesSettings
from email_settings.rendering import company_name
from email_settings.services import SettingsInput
from ticketflow.lib.choice_cards import ChoiceCard

Source = SesSettings.Source

ACCESS_KEY_ID_LENGTH = 20
SECRET_LENGTH = 40
SMTP_PASSWORD_LENGTH = 44
WHERE = "Copy it again from IAM → Users → Security credentials."
EIGHT_DOTS = "•" * 8
LONGEST_ADDRESS = 254  # RFC 5321, and what the database holds

# Characters that copying from a web page or a PDF brings along, and nobody sees.
_INVISIBLE = re.compile("[\\s\u00ad\u200b-\u200f\u2028-\u202f\u2060\ufeff]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]+")
_SECRET = re.compile(r"[A-Za-z0-9/+=]+")
# The password that SES derives from a secret for SMTP: 44 characters of base64 whose
# first byte is 4. https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html
_SMTP_PASSWORD = re.compile(r"B[A-P].{42}")

# https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/(?:[!-~]+/)?[\w+=,.@-]{1,64}")

SOURCES = [
    (
        Source.KEYS.value,
        ChoiceCard("Access key", "You paste a key; it is stored encrypted.", "key"),
    ),
    (
        Source.ROLE.value,
        ChoiceCard(
            "Assume a role", "For hours at a time, renewed by itself.", "shield"
        ),
    ),
    (
        Source.SERVER.value,
        ChoiceCard(
            "This server’s own", "Its role or environment; nothing is stored.", "server"
        ),
    ),
]

SLOWEST_TYPED_RATE, FASTEST_TYPED_RATE = 0.1, 10_000.0  # recipients per second
KEEP_FOR = [
    ("", "For ever"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("730", "2 years"),
    ("1825", "5 years"),
]

PASTE_AGAIN = (
    "Please paste it once more.",
    "We never send a secret back to the browser, so the field is empty after an error.",
)


def sentence(what: str, how: str) -> SafeString:
    """An error as people read it: what happened in bold, then how to mend it."""
    return format_html("<b>{}</b> {}", what, how)


def _refuse(what: str, how: str) -> ValidationError:
    return ValidationError(sentence(what, how))


class PastedField(forms.CharField):
    """Text that is pasted: blanks, line ends and invisible characters are dropped."""

    def to_python(self, value: Any) -> str:
        return _INVISIBLE.sub("", super().to_python(value) or "")


class UnmarkedField(forms.CharField):
    """Text that may stay empty although it is not called optional."""

    def validate(self, value: Any) -> None:
        """Accept an empty text too; the form knows what it means."""


class SecretField(UnmarkedField, PastedField):
    """A pasted secret; empty keeps the stored one."""


class AddressField(forms.EmailField):
    """An e-mail address, with an error that says what is missing."""

    default_validators = [
        EmailValidator(
            message=sentence(
                "This address is not complete.",
                "It needs a part before the @ and a domain after it, for example "
                "help@example.com.",
            )
        )
    ]

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=LONGEST_ADDRESS, **options)

    def to_python(self, value: Any) -> str:
        return _INVISIBLE.sub("", super().to_python(value) or "")


def _length_error(name: str, *, expected: int, actual: int) -> ValidationError:
    missing = expected - actual
    if missing == 1:
        what = "One character is missing."
    elif missing > 0:
        what = f"{missing} characters are missing."
    elif missing == -1:
        what = "There is one character too many."
    else:
        what = f"There are {-missing} characters too many."
    return _refuse(
        what, f"{name} has {expected} characters, this one has {actual}. {WHERE}"
    )


def check_access_key_id(value: str) -> None:
    """Refuse what cannot be an Access Key ID, and say what it is instead."""
    if value.startswith("ASIA"):
        raise _refuse(
            "This is a temporary key.",
            "Keys that start with ASIA end after some hours. Create an access key for "
            "an IAM user: it starts with AKIA.",
        )
    if not value.startswith("AKIA") and len(value) in {
        SECRET_LENGTH,
        SMTP_PASSWORD_LENGTH,
    }:
        raise _refuse(
            "This looks like the secret.",
            "The Access Key ID is the shorter one: 20 characters that start with AKIA.",
        )
    if not _ACCESS_KEY_ID.fullmatch(value):
        raise _refuse(
            "This is not an Access Key ID.",
            f"It has only capital letters and digits. {WHERE}",
        )
    if not value.startswith("AKIA"):
        raise _refuse(
            "This is not an Access Key ID.",
            f"It starts with AKIA. {WHERE}",
        )
    if len(value) != ACCESS_KEY_ID_LENGTH:
        raise _length_error(
            "An Access Key ID", expected=ACCESS_KEY_ID_LENGTH, actual=len(value)
        )


@sensitive_variables("value")
def check_secret(value: str) -> None:
    """Refuse what cannot be a Secret Access Key; no error repeats any part of it."""
    if value.startswith(("AKIA", "ASIA")) and len(value) == ACCESS_KEY_ID_LENGTH:
        raise _refuse(
            "This is the Access Key ID.",
            "The secret is the longer one: 40 characters, shown once when the key is "
            "created.",
        )
    if _SMTP_PASSWORD.fullmatch(value):
        raise _refuse(
            "This is the SES SMTP password.",
            "TicketFlow uses the SES API: paste the access key's own secret, "
            "40 characters long.",
        )
    if len(value) != SECRET_LENGTH:
        raise _length_error(
            "A Secret Access Key", expected=SECRET_LENGTH, actual=len(value)
        )
    if not _SECRET.fullmatch(value):
        raise _refuse(
            "A character does not belong here.",
            f"A Secret Access Key has letters, digits, / and + only. {WHERE}",
        )


class KeyIdField(UnmarkedField, PastedField):
    """A pasted Access Key ID, which only some sources need."""


class SourceField(forms.ChoiceField):
    """Where the credentials come from; a page from before it was asked does not say."""

    def validate(self, value: Any) -> None:
        """Accept none, which means a key; the form says so."""
        if value:
            super().validate(value)


class SettingsForm(forms.Form):
    """Email Settings. The secret is write-only: it is never shown again, not even in part.

    Which fields count depends on the source; the others are hidden by CSS and ignored.
    """

    use_required_attribute = False

    source = SourceField(
        label="Where do the credentials come from?",
        widget=forms.RadioSelect(attrs={"class": "choices-3"}),
        error_messages={
            "invalid_choice": sentence(
                "There is no such source.", "Choose one of the three."
            )
        },
    )
    role_arn = KeyIdField(
        label="Role ARN",
        max_length=640,
        widget=forms.TextInput(
            attrs={"class": "input-mono", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    access_key_id = KeyIdField(
        label="AWS Access Key ID",
        max_length=128,
        widget=forms.TextInput(
            attrs={
                "class": "input-mono",
                "autocomplete": "off",
                "autocapitalize": "characters",
                "spellcheck": "false",
            }
        ),
    )
    secret_access_key = SecretField(
        label="AWS Secret Access Key",
        max_length=256,
        widget=forms.PasswordInput(
            attrs={
                "class": "input-mono",
                "autocomplete": "new-password",
                "spellcheck": "false",
            }
        ),
    )
    region = forms.ChoiceField(
        label="AWS Region",
        help_text="The region in which your From address is verified. Quota and sandbox "
        "status belong to the region too.",
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
        error_messages={
            "required": sentence(
                "Say who the mail is from.",
                "It must be an address or domain that is verified in Amazon SES.",
            )
        },
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    from_name = UnmarkedField(
        label="From Name",
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    reply_to = AddressField(
        label="Reply-To",
        required=False,
        help_text="Where answers go. Leave empty to get them at the From address.",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    manual_send_rate = forms.FloatField(
        label="Send rate",
        required=False,
        min_value=SLOWEST_TYPED_RATE,
        max_value=FASTEST_TYPED_RATE,
        help_text="Recipients per second. Only needed when the key may not read the "
        "account, or to leave some of its rate to other programs.",
        error_messages={
            "invalid": sentence("This is not a number.", "For example 14."),
            "min_value": sentence("This is too slow.", "At least 0.1 per second."),
            "max_value": sentence("This is too fast.", "At most 10000 per second."),
        },
        widget=forms.NumberInput(attrs={"step": "any", "autocomplete": "off"}),
    )
    retention_days = forms.TypedChoiceField(
        label="Keep mail for",
        required=False,
        coerce=int,
        empty_value=None,
        choices=KEEP_FOR,
        help_text="Mail that is over and older than this is removed. What waits or is "
        "in doubt always stays.",
    )
    # Shown only after an answer that the admin may overrule.
    save_anyway = forms.BooleanField(required=False)

    def __init__(self, *args: Any, stored: SesSettings, **kwargs: Any) -> None:
        self.stored = stored
        kwargs.setdefault("initial", _initial(stored))
        super().__init__(*args, **kwargs)
        sources = self.fields["source"]
        assert isinstance(sources, forms.ChoiceField)
        sources.choices = SOURCES
        field = self.fields["region"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(code, f"{label}, {code}") for code, label in regions()]
        if not stored.region:
            field.choices = [("", "Choose …"), *field.choices]
        secret = self.fields["secret_access_key"]
        if self.has_secret:
            secret.widget.attrs["placeholder"] = EIGHT_DOTS
        secret.help_text = (
            "Saved and encrypted; nobody can read it back. Leave empty to keep it, or "
            "paste a new one to replace it."
            if self.has_secret
            else "It is encrypted before it is saved, and nobody can read it back."
        )

    @property
    def is_advanced_in_use(self) -> bool:
        """Whether the part that most never need is to be seen."""
        names = ("manual_send_rate", "retention_days")
        return any(self[name].value() or self[name].errors for name in names)

    @property
    def has_secret(self) -> bool:
        return bool(self.stored.secret_access_key_encrypted)

    @property
    def external_id(self) -> str:
        return external_id_of(self.stored)

    @property
    def is_server_role_allowed(self) -> bool:
        return is_server_role_allowed()

    # The fields are cleaned in their order: the source is the first of them.

    def clean_source(self) -> str:
        value: str = self.cleaned_data["source"] or Source.KEYS.value
        if value == Source.SERVER and not is_server_role_allowed():
            raise _refuse(
                "Not switched on.",
                "Whoever installs TicketFlow decides it: set "
                "TICKETFLOW_ALLOW_SERVER_ROLE=1 in the environment of web and worker, "
                "and start them again.",
            )
        return value

    def clean_role_arn(self) -> str:
        if not self._comes_from(Source.ROLE):
            return ""
        value: str = self.cleaned_data["role_arn"]
        if not _ROLE_ARN.fullmatch(value):
            raise _refuse(
                "This is not the ARN of a role." if value else "Paste the role's ARN.",
                "It looks like arn:aws:iam::123456789012:role/ticketflow-ses and stands "
                "on the role's page in IAM → Roles.",
            )
        return value

    def clean_access_key_id(self) -> str:
        if self._comes_from(Source.SERVER):
            return ""
        value: str = self.cleaned_data["access_key_id"]
        if value:
            check_access_key_id(value)
        elif self._comes_from(Source.KEYS):
            raise _refuse(
                "Paste the Access Key ID.",
                "It has 20 characters and starts with AKIA.",
            )
        elif not is_server_role_allowed():
            raise _refuse(
                "Paste the Access Key ID.",
                "Somebody must assume the role: an access key that may do nothing else. "
                "The credentials of this server could, but that is not switched on.",
            )
        return value

    @sensitive_variables("value")
    def clean_secret_access_key(self) -> str:
        if not self.cleaned_data.get("access_key_id", "unknown"):
            return ""  # no key, no secret
        value: str = self.cleaned_data["secret_access_key"]
        if value:
            check_secret(value)
        elif not self.has_secret:
            raise _refuse(
                "Paste the Secret Access Key.",
                "AWS shows it once, when the access key is created.",
            )
        return value

    def _comes_from(self, source: Source) -> bool:
        return bool(self.cleaned_data.get("source") == source)

    def clean_from_name(self) -> str:
        value: str = self.cleaned_data["from_name"]
        if _CONTROL.search(value):
            raise _refuse("A name is one line of text.", "Type it without line ends.")
        return value

    def result(self) -> SettingsInput:
        """What was typed, in shape. Only for a valid form."""
        values = self.cleaned_data
        return SettingsInput(
            source=Source(values["source"]),
            role_arn=values["role_arn"],
            access_key_id=values["access_key_id"],
            secret=Secret(values["secret_access_key"]),
            region=values["region"],
            from_email=values["from_email"],
            from_name=values["from_name"],
            reply_to=values["reply_to"],
            manual_send_rate=values["manual_send_rate"],
            retention_days=values["retention_days"],
        )

    def forget_secret(self) -> None:
        """Drop a secret from a form that is shown again, and say that it must be pasted.

        One that was pasted into the field of the key id is dropped there too.
        """
        typed = self.data.get("secret_access_key", "")
        key_id = self.data.get("access_key_id", "")
        if len(_INVISIBLE.sub("", key_id)) >= SECRET_LENGTH:
            self.data = {**dict(self.data.items()), "access_key_id": ""}
        if typed:
            self.add_error("secret_access_key", sentence(*PASTE_AGAIN))


def _initial(stored: SesSettings) -> dict[str, str | float | None]:
    return {
        "source": stored.source,
        "role_arn": stored.role_arn,
        "access_key_id": stored.access_key_id,
        "region": stored.region,
        "from_email": stored.from_email,
        "from_name": stored.from_name or company_name(),
        "reply_to": stored.reply_to,
        "manual_send_rate": stored.manual_send_rate,
        "retention_days": stored.retention_days,
    }


class NewKeyForm(forms.Form):
    """Both parts of the key that takes the place of the one in use."""

    use_required_attribute = False

    access_key_id = PastedField(
        label="AWS Access Key ID",
        max_length=128,
        error_messages={
            "required": sentence(
                "Paste the Access Key ID.", "It has 20 characters and starts with AKIA."
            )
        },
        widget=forms.TextInput(
            attrs={
                "class": "input-mono",
                "autocomplete": "off",
                "autocapitalize": "characters",
                "spellcheck": "false",
            }
        ),
    )
    secret_access_key = PastedField(
        label="AWS Secret Access Key",
        max_length=256,
        help_text="It is encrypted before it is saved, and nobody can read it back.",
        error_messages={
            "required": sentence(
                "Paste the Secret Access Key.",
                "AWS shows it once, when the access key is created.",
            )
        },
        widget=forms.PasswordInput(
            attrs={
                "class": "input-mono",
                "autocomplete": "new-password",
                "spellcheck": "false",
            }
        ),
    )

    def clean_access_key_id(self) -> str:
        value: str = self.cleaned_data["access_key_id"]
        check_access_key_id(value)
        return value

    @sensitive_variables("value")
    def clean_secret_access_key(self) -> Secret:
        value: str = self.cleaned_data["secret_access_key"]
        check_secret(value)
        return Secret(value)

    def forget_secret(self) -> None:
        """Drop a secret from a form that is shown again, wherever it was pasted."""
        key_id = self.data.get("access_key_id", "")
        if len(_INVISIBLE.sub("", key_id)) >= SECRET_LENGTH:
            self.data = {**dict(self.data.items()), "access_key_id": ""}
        if self.data.get("secret_access_key"):
            self.add_error("secret_access_key", sentence(*PASTE_AGAIN))


class TestMailForm(forms.Form):
    """Where the test e-mail goes."""

    __test__ = False  # pytest would take it for a test

    recipient = AddressField(
        label="Send it to",
        error_messages={
            "required": sentence("Say where it goes.", "Type an e-mail address.")
        },
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
