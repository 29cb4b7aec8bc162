"""What the form of Email Settings says before AWS is asked."""

import pytest

from email_settings.forms import EIGHT_DOTS, SettingsForm
from email_settings.models import SesSettings
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_settings

pytestmark = pytest.mark.django_db

GOOD = {
    "access_key_id": ACCESS_KEY_ID,
    "secret_access_key": SECRET,
    "region": "eu-west-2",
    "from_email": "help@larkfield.example",
    "from_name": "Larkfield Help Desk",
    "reply_to": "",
}
SMTP_PASSWORD = "BHAg" + "x" * 40


def form(**changes: str) -> SettingsForm:
    return SettingsForm({**GOOD, **changes}, stored=SesSettings())


def error(field: str, **changes: str) -> str:
    refused = form(**changes)
    assert not refused.is_valid()
    assert list(refused.errors) == [field]
    return str(refused.errors[field][0])


def test_good_values_pass() -> None:
    good = form()
    assert good.is_valid(), good.errors
    assert good.result().secret.reveal() == SECRET
    assert good.result().from_name == "Larkfield Help Desk"


def test_blanks_line_ends_and_invisible_characters_are_dropped() -> None:
    pasted = form(
        access_key_id=f" {ACCESS_KEY_ID}\r\n",
        secret_access_key=f"\u200b{SECRET[:20]}\n{SECRET[20:]} \ufeff",
        from_email=" help@larkfield.example\u00a0",
    )
    assert pasted.is_valid(), pasted.errors
    assert pasted.result().access_key_id == ACCESS_KEY_ID
    assert pasted.result().secret.reveal() == SECRET
    assert pasted.result().from_email == "help@larkfield.example"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Paste the Access Key ID."),
        (ACCESS_KEY_ID[:-1], "One character is missing."),
        (ACCESS_KEY_ID[:-3], "3 characters are missing."),
        (f"{ACCESS_KEY_ID}X", "There is one character too many."),
        (f"{ACCESS_KEY_ID}XYZ", "There are 3 characters too many."),
        (f"ASIA{ACCESS_KEY_ID[4:]}", "This is a temporary key."),
        (f"AIDA{ACCESS_KEY_ID[4:]}", "It starts with AKIA."),
        (ACCESS_KEY_ID.lower(), "only capital letters and digits"),
        (SECRET, "This looks like the secret."),
        (SMTP_PASSWORD, "This looks like the secret."),
    ],
)
def test_what_is_no_access_key_id_is_named(typed: str, said: str) -> None:
    assert said in error("access_key_id", access_key_id=typed)


def test_missing_character_is_counted() -> None:
    said = error("access_key_id", access_key_id=ACCESS_KEY_ID[:-1])
    assert "has 20 characters, this one has 19" in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Paste the Secret Access Key."),
        (SECRET[:-1], "One character is missing."),
        (f"{SECRET}x", "There is one character too many."),
        (SMTP_PASSWORD, "This is the SES SMTP password."),
        (ACCESS_KEY_ID, "This is the Access Key ID."),
        (f"{SECRET[:-1]}!", "A character does not belong here."),
    ],
)
def test_what_is_no_secret_is_named_and_never_repeated(typed: str, said: str) -> None:
    refused = form(secret_access_key=typed)
    assert not refused.is_valid()
    assert said in str(refused.errors["secret_access_key"][0])
    field = refused["secret_access_key"]
    assert not typed or typed not in field.as_field_group()


def test_44_characters_that_are_no_smtp_password_are_only_too_long() -> None:
    said = error("secret_access_key", secret_access_key="Z" * 44)
    assert "There are 4 characters too many." in said


def test_empty_secret_keeps_the_stored_one() -> None:
    typed = {**GOOD, "secret_access_key": "", "from_name": "Other"}
    kept = SettingsForm(typed, stored=make_settings())
    assert kept.is_valid(), kept.errors
    assert not kept.result().secret


@pytest.mark.parametrize("region", ["xx-nowhere-1", "cn-north-1", "London"])
def test_unknown_region_is_refused(region: str) -> None:
    assert "Amazon SES has no such region." in error("region", region=region)


def test_missing_region_is_asked_for() -> None:
    assert "Choose the region." in error("region", region="")


def test_regions_have_names() -> None:
    assert "Europe (London), eu-west-2" in str(form()["region"])


@pytest.mark.parametrize("field", ["from_email", "reply_to"])
@pytest.mark.parametrize("address", ["help", "help@", "@larkfield.example", "a@b@c.de"])
def test_bad_address_is_refused(field: str, address: str) -> None:
    assert "This address is not complete." in error(field, **{field: address})


@pytest.mark.parametrize("field", ["from_email", "reply_to"])
def test_address_longer_than_the_database_holds_is_refused(field: str) -> None:
    address = "a" * 242 + "@larkfield.example"
    assert "at most 254 characters" in error(field, **{field: address})


def test_from_is_required_and_reply_to_is_not() -> None:
    assert "Say who the mail is from." in error("from_email", from_email="")
    assert form(reply_to="").is_valid()


def test_name_with_a_line_end_is_refused() -> None:
    said = error("from_name", from_name="Larkfield\r\nBcc: all@larkfield.example")
    assert "one line" in said


def test_empty_name_is_fine() -> None:
    assert form(from_name="").is_valid()


@pytest.mark.parametrize("length", [1, 200])
def test_secret_is_eight_dots_whatever_is_stored(length: int) -> None:
    stored = make_settings()
    stored.secret_access_key_encrypted = "x" * length
    shown = str(SettingsForm(stored=stored)["secret_access_key"])
    assert f'placeholder="{EIGHT_DOTS}"' in shown
    assert "value=" not in shown


def test_secret_is_never_shown_again_and_must_be_pasted_once_more() -> None:
    refused = form(access_key_id="AKIA")
    assert not refused.is_valid()
    refused.forget_secret()
    assert SECRET not in refused.as_p()
    assert "Please paste it once more." in str(refused.errors["secret_access_key"])


def test_secret_pasted_into_the_wrong_field_is_not_shown_again() -> None:
    refused = form(access_key_id=SECRET)
    assert not refused.is_valid()
    refused.forget_secret()
    assert SECRET not in refused.as_p()


def test_shape_hides_itself_in_tracebacks() -> None:
    good = form()
    assert good.is_valid()
    assert SECRET not in repr(good.result())


# Advanced


def test_rate_and_retention_may_stay_empty() -> None:
    good = form()
    assert good.is_valid()
    assert (good.result().manual_send_rate, good.result().retention_days) == (
        None,
        None,
    )
    assert not good.is_advanced_in_use


def test_rate_and_retention_are_read() -> None:
    good = form(manual_send_rate="2.5", retention_days="730")
    assert good.is_valid(), good.errors
    assert (good.result().manual_send_rate, good.result().retention_days) == (2.5, 730)
    assert good.is_advanced_in_use


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "fast", "1e9"])
def test_rate_that_makes_no_sense_is_refused(rate: str) -> None:
    assert error("manual_send_rate", manual_send_rate=rate).startswith("<b>")


def test_retention_is_one_of_the_choices() -> None:
    assert error("retention_days", retention_days="1")
