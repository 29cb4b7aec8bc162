"""The first run: one admin, made by whoever runs the server."""

import threading
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts import services, setup_token
from accounts.errors import AlreadySetUpError
from accounts.models import Role, User
from accounts.tests.builders import NEW_PASSWORD
from email_settings.models import Brand
from ticketflow.lib.localfiles import read_or_create_secret

DATA = {
    "company_name": "Larkfield Help Desk",
    "name": "Ewa Kowalska",
    "email": "Ewa@Larkfield.example",
    "time_zone": "Europe/Warsaw",
    "password": NEW_PASSWORD,
}


@pytest.fixture
def token_file() -> Path:
    return Path(settings.DATA_DIR / "setup_token")


@pytest.fixture
def url(token_file: Path) -> str:
    return f"/setup/?token={read_or_create_secret(token_file)}"


@pytest.mark.django_db
def test_whoever_has_the_key_becomes_the_first_admin(
    client: Client, url: str, token_file: Path
) -> None:
    response = client.post(url, DATA)

    admin = User.objects.get()
    assert response.status_code == 302
    assert response["Location"] == "/admin-panel/"
    assert (admin.email, admin.role) == ("ewa@larkfield.example", Role.ADMIN)
    assert admin.time_zone == "Europe/Warsaw"
    assert admin.check_password(NEW_PASSWORD)
    assert Brand.objects.get().company_name == "Larkfield Help Desk"
    assert client.session["_auth_user_id"] == str(admin.pk)
    assert not token_file.exists()


@pytest.mark.django_db
def test_the_page_asks_for_the_company_and_the_admin(client: Client, url: str) -> None:
    page = client.get(url)

    assert page.status_code == 200
    for label in ("Help desk name", "Your name", "Your e-mail", "Password"):
        assert label in page.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=ü"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_without_the_key_the_page_says_where_it_is(
    client: Client, method: str, query: str
) -> None:
    response = getattr(client, method)(
        f"/setup/{query}", DATA if method == "post" else {}
    )

    assert response.status_code == 403
    assert "terminal that runs TicketFlow" in response.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_there_is_no_such_page_once_there_is_a_user(
    client: Client, url: str, requester: User, method: str
) -> None:
    response = getattr(client, method)(url, DATA if method == "post" else {})

    assert response.status_code == 404
    assert User.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("company_name", ""),
        ("name", "Ewa\x07"),
        ("name", "E\u202ewa"),
        ("email", "ewa"),
        ("time_zone", "Mars/Olympus"),
        ("password", "short7!"),
        ("password", "password1"),
        ("password", "Larkfield2026!"),
        ("password", "ticketflow2026"),
        ("password", "ewa@larkfield.example"),
        ("password", "x" * 4097),
    ],
)
def test_bad_input_makes_nobody(
    client: Client, url: str, field: str, value: str
) -> None:
    response = client.post(url, {**DATA, field: value})

    assert response.status_code == 200
    assert response.context["form"].errors[field]
    assert not User.objects.exists()


@pytest.mark.django_db
def test_eight_uncommon_characters_are_enough(client: Client, url: str) -> None:
    client.post(url, {**DATA, "password": "vK3 qz8!"})

    assert User.objects.get().check_password("vK3 qz8!")


@pytest.mark.django_db
def test_the_second_of_two_set_ups_is_told_so() -> None:
    details = {**DATA, "time_zone": "UTC"}
    services.set_up(**details)

    with pytest.raises(AlreadySetUpError):
        services.set_up(**{**details, "email": "other@larkfield.example"})

    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_racing_set_ups_one_wins() -> None:
    barrier = threading.Barrier(2, timeout=10)
    outcomes: list[str] = []

    def race(email: str) -> None:
        barrier.wait()
        try:
            services.set_up(**{**DATA, "email": email})
            outcomes.append("won")
        except AlreadySetUpError:
            outcomes.append("late")
        finally:
            connection.close()

    racers = [
        threading.Thread(target=race, args=[f"{name}@larkfield.example"])
        for name in ("a", "b")
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(outcomes) == ["late", "won"]
    assert User.objects.count() == 1


def test_the_key_fits_itself_only(token_file: Path) -> None:
    key = read_or_create_secret(token_file)

    assert setup_token.fits(key)
    assert not setup_token.fits(key[:-1])
    assert not setup_token.fits("")
    assert token_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db
def test_createsuperuser_makes_an_admin_without_a_browser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "Root@Larkfield.example")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", NEW_PASSWORD)

    call_command("createsuperuser", interactive=False, verbosity=0)

    admin = User.objects.get()
    assert admin.email == "root@larkfield.example"
    assert admin.is_admin
    assert admin.check_password(NEW_PASSWORD)
