"""Stand-ins for AWS, over real HTTP."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from django.test import Client
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from email_settings import pacing
from email_settings.credentials import Credentials, Secret
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_settings
from email_settings.tests.fake_ses import FakeSes, running_fake_ses
from email_settings.tests.live_account import LiveAccount, live_account


@pytest.fixture(autouse=True)
def no_pace_stays_open() -> Iterator[None]:
    """The pace of PostgreSQL has a connection of its own, to the tests' database too."""
    yield
    pacing.close_paces()


@pytest.fixture
def panel(client: Client, admin: Any) -> Client:
    """The browser of an admin, whom this room knows only as a user."""
    client.force_login(admin)
    return client


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(ACCESS_KEY_ID, Secret(SECRET), "eu-west-1")


@pytest.fixture
def fake_ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSes]:
    """A scripted server that the AWS SDK takes for AWS."""
    with running_fake_ses() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def live(
    db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveAccount]:
    """AWS and DNS, wholly set up, and the settings that go with them."""
    make_settings()
    with live_account(settings, monkeypatch) as account:
        yield account


@pytest.fixture
def moto_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A moto server that the AWS SDK takes for AWS, with one verified domain."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    # What moto keeps belongs to the process, not to the server.
    urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()  # noqa: S310
    verify_in_moto("larkfield.example")
    yield url
    server.stop()


def verify_in_moto(identity: str) -> None:
    client = boto3.session.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="eu-west-1",
    ).client("sesv2")
    client.create_email_identity(EmailIdentity=identity)
    client.close()
