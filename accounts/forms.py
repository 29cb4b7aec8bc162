"""What people type in: sign-in, set-up, invitations, profile."""

import re
import unicodedata
from typing import Any

from allauth.account import forms as allauth_forms
from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from accounts import passwords, roles, services, time_zones
from accounts.models import Invitation, Role, User
from accounts.tokens import ResetTokenGenerator
from accounts.validators import refuse_words_in_use_here

HOW_TO_CHOOSE = (
    "At least 8 characters, not your name or e-mail, not a common one. "
    "Four random words work well."
)
_DAYS = settings.SESSION_COOKIE_AGE // (60 * 60 * 24)
_LONGEST_ADDRESS = 254
# These turn the text around them; in a name they only deceive.
_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")


class PlainNameField(forms.CharField):
    """One line of visible text: it ends up in mail headers and in other people's pages."""

    def clean(self, value: Any) -> str:
        text = " ".join(str(super().clean(value)).split())
        if _BIDI_CONTROLS.search(text) or any(
            unicodedata.category(character) == "Cc" for character in text
        ):
            raise ValidationError(
                "There is an invisible character in it. Type it instead of pasting it."
            )
        return text


def name_field(label: str = "Your name", help_text: str = "") -> PlainNameField:
    return PlainNameField(
        label=label,
        max_length=120,
        help_text=help_text,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )


def new_password_field(label: str = "Password") -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        help_text=HOW_TO_CHOOSE,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


def current_password_field(label: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


def email_field(label: str = "E-mail") -> forms.EmailField:
    return forms.EmailField(
        label=label,
        max_length=_LONGEST_ADDRESS,
        widget=forms.EmailInput(
            attrs={"autocomplete": "username", "inputmode": "email"}
        ),
    )


def time_zone_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label="Time zone",
        choices=time_zones.choices,
        help_text="Times on every page are shown in it.",
    )


class SetUpForm(forms.Form):
    """The company and its first admin."""

    company_name = PlainNameField(
        label="Help desk name",
        max_length=80,
        help_text="Shown on the sign-in page and in every e-mail.",
    )
    name = name_field()
    email = email_field("Your e-mail")
    time_zone = time_zone_field()
    password = new_password_field()

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()

    @sensitive_variables("password", "data")
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        password = data.get("password")
        if password:
            company = str(data.get("company_name", ""))
            person = User(email=data.get("email", ""), name=data.get("name", ""))
            try:
                refuse_words_in_use_here(password, [company, *company.split()])
                validate_password(password, person)
            except ValidationError as error:
                self.add_error("password", error)
        return data


class AcceptInvitationForm(forms.Form):
    """What the invited person adds to what the invitation knows."""

    name = name_field(help_text="As colleagues know you. You can change it later.")
    password = new_password_field()
    time_zone = time_zone_field()

    def __init__(self, *args: Any, invitation: Invitation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invitation = invitation

    @sensitive_variables("password", "data")
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        password = data.get("password")
        if password:
            person = User(email=self.invitation.email, name=data.get("name", ""))
            try:
                validate_password(password, person)
            except ValidationError as error:
                self.add_error("password", error)
        return data


class InviteForm(forms.Form):
    """Whom to invite, and as what."""

    emails = forms.CharField(
        label="E-mail addresses",
        max_length=services.MOST_AT_ONCE * (_LONGEST_ADDRESS + 2),
        help_text=(
            "One or many, separated by commas, blanks or new lines. "
            f"Up to {services.MOST_AT_ONCE} at once."
        ),
        widget=forms.Textarea(
            attrs={"rows": 2, "spellcheck": "false", "autocomplete": "off"}
        ),
    )
    role = forms.ChoiceField(
        label="Role",
        choices=roles.CHOICES,
        initial=Role.REQUESTER,
        widget=forms.RadioSelect,
    )
    note = forms.CharField(
        label="Personal note",
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Added above the button in the invitation.",
    )

    def clean_emails(self) -> list[str]:
        words = re.split(r"[\s,;]+", self.cleaned_data["emails"].lower())
        addresses = list(dict.fromkeys(w for word in words if (w := word.strip("<>"))))
        bad = [address for address in addresses if not _is_address(address)]
        if bad:
            raise ValidationError(
                [
                    ValidationError(
                        "“%(address)s” is not an e-mail address. Check it for typos.",
                        params={"address": address},
                    )
                    for address in bad
                ]
            )
        if len(addresses) > services.MOST_AT_ONCE:
            raise ValidationError(
                f"That is {len(addresses)} addresses. "
                f"Invite up to {services.MOST_AT_ONCE} at once."
            )
        if not addresses:
            raise ValidationError("Enter at least one e-mail address.")
        return addresses


class RoleForm(forms.Form):
    """What the person is to be."""

    role = forms.ChoiceField(
        label="What this person may do",
        choices=roles.CHOICES,
        widget=forms.RadioSelect,
    )


class ProfileForm(forms.Form):
    """What people say about themselves; role and address have ways of their own."""

    name = name_field(help_text="As colleagues know you.")
    time_zone = time_zone_field()
    theme = forms.ChoiceField(
        label="Appearance",
        choices=User.Theme.choices,
        widget=forms.RadioSelect,
        help_text="Auto follows your device.",
    )


class OwnEmailForm(forms.Form):
    """Where one's mail is to go, and that it is oneself who says so."""

    new_email = email_field("New e-mail address")
    password = current_password_field("Current password")

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        self.fields["new_email"].widget.attrs["autocomplete"] = "email"

    @sensitive_variables("password")
    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        if not self.person.check_password(password):
            raise ValidationError(
                "This is not your current password. Check it for typos."
            )
        return password


class PersonsEmailForm(forms.Form):
    """Where an admin wants somebody's mail to go."""

    new_email = email_field("New e-mail address")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_email"].widget.attrs["autocomplete"] = "off"


class SignInForm(allauth_forms.LoginForm):
    """E-mail, password, and whether to stay."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"] = email_field()
        self.fields["login"].widget.attrs["autofocus"] = True
        self.fields["password"] = current_password_field("Password")
        self.fields[
            "remember"
        ].label = f"Keep me signed in on this device for {_DAYS} days"


class ResetPasswordForm(allauth_forms.ResetPasswordForm):
    """Where to send the link. It never tells whether the address is known."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"] = email_field()

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        email = str(self.cleaned_data["email"])
        passwords.request_reset(email=email)
        return email


class ResetTokenForm(allauth_forms.UserTokenForm):
    """The two halves of a reset link."""

    token_generator = ResetTokenGenerator()

    def _get_user(self, uidb36: str | None) -> User | None:
        person: User | None = super()._get_user(uidb36)  # type: ignore[no-untyped-call]
        return person if person and person.is_active else None


class NewPasswordForm(allauth_forms.ResetPasswordKeyForm):
    """One field with "Show password" instead of typing it twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _ask_once(self)


class ChangePasswordForm(allauth_forms.ChangePasswordForm):
    """The old password, and the new one once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"] = current_password_field("Current password")
        _ask_once(self)


def _ask_once(form: forms.Form) -> None:
    del form.fields["password2"]
    field = form.fields["password1"]
    field.label = "New password"
    field.help_text = HOW_TO_CHOOSE
    field.widget.attrs.pop("placeholder", None)


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= _LONGEST_ADDRESS
