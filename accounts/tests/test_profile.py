"""What people change about themselves, and what not."""

import pytest
from django.test import Client

from accounts.models import Role, User

PROFILE = "/profile/"
DATA = {"name": "Hannah B.", "time_zone": "Asia/Tokyo", "theme": "dark"}


@pytest.fixture
def mine(client: Client, requester: User) -> Client:
    client.force_login(requester)
    return client


def test_name_zone_and_theme_are_saved(mine: Client, requester: User) -> None:
    response = mine.post(PROFILE, DATA, follow=True)

    requester.refresh_from_db()
    assert (requester.name, requester.time_zone) == ("Hannah B.", "Asia/Tokyo")
    assert requester.theme == User.Theme.DARK
    page = response.content.decode()
    assert "Your profile is saved." in page
    assert 'data-theme="dark"' in page


@pytest.mark.parametrize("who", ["requester", "agent", "admin"])
def test_everybody_has_a_profile(
    client: Client, who: str, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)
    client.force_login(person)

    page = client.get(PROFILE)

    assert page.status_code == 200
    assert person.email in page.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 121),
        ("time_zone", "../etc/passwd"),
        ("time_zone", ""),
        ("theme", "pink"),
    ],
)
def test_bad_input_changes_nothing(
    mine: Client, requester: User, field: str, value: str
) -> None:
    response = mine.post(PROFILE, {**DATA, field: value})

    requester.refresh_from_db()
    assert response.context["form"].errors[field]
    assert requester.name == "Hannah Brooks"


def test_role_address_and_state_are_not_ones_own_to_change(
    mine: Client, requester: User
) -> None:
    mine.post(
        PROFILE,
        {
            **DATA,
            "role": "admin",
            "email": "boss@x.example",
            "is_active": "",
            "session_epoch": "9",
            "password": "x",
            "id": "1",
        },
    )

    requester.refresh_from_db()
    assert requester.role == Role.REQUESTER
    assert requester.email == "hannah@larkfield.example"
    assert requester.is_active
    assert requester.session_epoch == 0


def test_the_signed_out_are_sent_to_sign_in(client: Client, db: None) -> None:
    response = client.get(PROFILE)

    assert response["Location"] == f"/accounts/login/?next={PROFILE}"
