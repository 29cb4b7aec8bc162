"""The secret access key and sealed bodies: written, read, and never shown."""

import copy
import json
import pickle

import pytest

from email_settings import credentials
from email_settings.credentials import CredentialsMissingError, Secret
from email_settings.models import SesSettings
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)
from ticketflow.lib.encryption import TamperedError

pytestmark = pytest.mark.django_db


def test_secret_reads_back_with_its_key_and_region() -> None:
    make_settings(region="eu-central-1")
    found = credentials.read_credentials(SesSettings.load())
    assert (found.access_key_id, found.region) == (ACCESS_KEY_ID, "eu-central-1")
    assert found.secret.reveal() == SECRET
    assert found.hint == "MPLE"


def test_stored_secret_is_not_readable() -> None:
    stored = make_settings().secret_access_key_encrypted
    assert stored.startswith("v1:")
    assert SECRET not in stored


@pytest.mark.parametrize(
    "field", ["access_key_id", "secret_access_key_encrypted", "region"]
)
def test_incomplete_credentials_never_reach_the_sdk(field: str) -> None:
    row = make_settings()
    setattr(row, field, "")
    with pytest.raises(CredentialsMissingError, match="Email Settings"):
        credentials.read_credentials(row)


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__])
def test_secret_does_not_show_itself(show: object) -> None:
    assert callable(show)
    assert show(Secret(SECRET)) == "<secret>"


@pytest.mark.parametrize(
    "carry", [pickle.dumps, json.dumps, copy.copy, copy.deepcopy, vars]
)
def test_secret_can_not_be_carried_away(carry: object) -> None:
    assert callable(carry)
    with pytest.raises(TypeError):
        carry(Secret(SECRET))


def test_credentials_do_not_show_the_secret() -> None:
    make_settings()
    assert SECRET not in repr(credentials.read_credentials(SesSettings.load()))


def test_sealed_body_of_one_message_opens_in_no_other() -> None:
    first, second = make_message(is_secret=True), make_message(is_secret=True)
    second.text_body = first.text_body
    with pytest.raises(TamperedError):
        credentials.open_body(second)


def test_sealed_text_does_not_open_as_html() -> None:
    message = make_message(is_secret=True)
    message.html_body = message.text_body
    with pytest.raises(TamperedError):
        credentials.open_body(message)
