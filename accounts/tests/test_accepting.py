"""What the invited person meets."""

import re
import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import invitations, services
from accounts.errors import InvitationClosedError
from accounts.models import AuditEntry, Invitation, Role, User
from accounts.tests.builders import (
    NEW_PASSWORD,
    accept_data,
    expire,
    invite,
    path_of,
    token_of,
)
from email_settings.models import OutboxMessage


@pytest.fixture
def invitation(admin: User) -> Invitation:
    return invite(admin, role=Role.AGENT)


def test_opening_the_link_shows_who_invites_and_changes_nothing(
    client: Client, invitation: Invitation
) -> None:
    before = list(Invitation.objects.values())

    pages = [client.get(path_of(invitation)) for _ in range(3)]
    client.head(path_of(invitation))

    assert [page.status_code for page in pages] == [200, 200, 200]
    text = pages[0].content.decode()
    assert "Ewa Kowalska" in text
    assert "ines@larkfield.example" in text
    assert "answer tickets" in text
    assert list(Invitation.objects.values()) == before
    assert User.objects.count() == 1


def test_the_form_lets_the_person_in(client: Client, invitation: Invitation) -> None:
    response = client.post(path_of(invitation), accept_data())

    person = User.objects.get(email="ines@larkfield.example")
    invitation.refresh_from_db()
    assert response.status_code == 302
    assert response["Location"] == "/"
    assert (person.name, person.role) == ("Ines Duarte", Role.AGENT)
    assert person.time_zone == "Europe/Lisbon"
    assert person.check_password(NEW_PASSWORD)
    assert client.session["_auth_user_id"] == str(person.pk)
    assert invitation.state == Invitation.State.ACCEPTED
    assert invitation.accepted_by == person
    assert AuditEntry.objects.filter(action="accepted the invitation for").exists()


def test_role_and_address_come_from_the_invitation_alone(
    client: Client, invitation: Invitation
) -> None:
    client.post(
        path_of(invitation),
        accept_data(email="boss@x.example", role="admin", is_active="", id="1"),
    )

    person = User.objects.get(name="Ines Duarte")
    assert (person.email, person.role) == ("ines@larkfield.example", Role.AGENT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 121),
        ("name", "Ines\x00"),
        ("password", ""),
        ("password", "short7!"),
        ("password", "password1"),
        ("password", "ines@larkfield.example"),
        ("time_zone", "Mars"),
    ],
)
def test_bad_input_leaves_the_invitation_open(
    client: Client, invitation: Invitation, field: str, value: str
) -> None:
    response = client.post(path_of(invitation), accept_data(**{field: value}))

    assert response.status_code == 200
    assert response.context["form"].errors[field]
    assert not User.objects.filter(email=invitation.email).exists()
    assert Invitation.objects.get().state == Invitation.State.OPEN


def test_a_line_break_in_a_name_becomes_a_space(
    client: Client, invitation: Invitation
) -> None:
    client.post(
        path_of(invitation), accept_data(name="Ines\r\nBcc: all@x.example\u2028Duarte")
    )

    person = User.objects.get(email=invitation.email)
    assert person.name == "Ines Bcc: all@x.example Duarte"


def test_a_password_is_kept_to_the_last_character(
    client: Client, invitation: Invitation
) -> None:
    password = "🦉" * 64 + " "

    client.post(path_of(invitation), accept_data(password=password))

    person = User.objects.get(email=invitation.email)
    assert person.check_password(password)
    assert not person.check_password(password.strip())
    assert not person.check_password(password[:-1] + "x")


def _as_is(invitation: Invitation) -> None:
    pass


def _expire(invitation: Invitation) -> None:
    expire(invitation)


def _revoke(invitation: Invitation) -> None:
    assert invitation.invited_by is not None
    services.revoke_invitation(actor=invitation.invited_by, invitation_id=invitation.pk)


def _use(invitation: Invitation) -> None:
    services.accept_invitation(
        token=token_of(invitation), name="Ines", password=NEW_PASSWORD
    )


@pytest.mark.parametrize(
    ("close", "heading", "advice"),
    [
        (_expire, "This invitation has expired", "to send it again"),
        (_revoke, "This invitation was withdrawn", "You can be invited again"),
        (_use, "This invitation has been used", 'href="/accounts/login/"'),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_closed_invitation_says_what_to_do(
    client: Client,
    invitation: Invitation,
    close: Callable[[Invitation], None],
    heading: str,
    advice: str,
    method: str,
) -> None:
    close(invitation)
    people = User.objects.count()

    response = getattr(client, method)(
        path_of(invitation), accept_data() if method == "post" else {}
    )

    page = response.content.decode()
    assert response.status_code == 410
    assert heading in page
    assert advice in page
    assert User.objects.count() == people
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token.swapcase(),
        lambda token: token.split(".")[0],
        lambda token: token.split(".")[0] + ".",
        lambda token: "." + token.split(".")[1],
        lambda token: "0" + token,
        lambda token: "٣." + token.split(".")[1],
        lambda token: "9" * 400 + "." + token.split(".")[1],
        lambda token: str(int(token.split(".")[0]) + 1) + "." + token.split(".")[1],
        lambda token: "-" + token,
        lambda token: "None",
        lambda token: "%20",
        lambda token: "é.ü",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_any_other_text_opens_nothing(
    client: Client, invitation: Invitation, spoil: Callable[[str], str], method: str
) -> None:
    url = f"/invitations/{spoil(token_of(invitation))}/"

    response = getattr(client, method)(url, accept_data() if method == "post" else {})

    assert response.status_code == 404
    assert "This link does not work" in response.content.decode()
    assert User.objects.count() == 1


def test_the_link_of_one_invitation_does_not_open_another(
    admin: User, invitation: Invitation
) -> None:
    other = invite(admin, "other@x.example")
    _, signature = token_of(other).split(".")

    assert invitations.find(f"{invitation.pk}.{signature}") is None
    assert invitations.find(token_of(other)) == other


def test_links_survive_a_change_of_the_secret_key(
    invitation: Invitation, settings: Settings
) -> None:
    token = token_of(invitation)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that nobody knows"

    assert invitations.find(token) == invitation
    settings.SECRET_KEY_FALLBACKS = []
    assert invitations.find(token) is None


def test_the_database_holds_nothing_that_opens_the_door(invitation: Invitation) -> None:
    signature = token_of(invitation).split(".")[1]

    rows = repr([*Invitation.objects.values(), *OutboxMessage.objects.values()])
    assert signature not in rows
    assert len(signature) == 43  # 256 bits


def test_tokens_never_repeat(admin: User) -> None:
    made = [
        Invitation(pk=1, email="a@x.example", nonce=f"{number:032x}")
        for number in range(1000)
    ]

    assert len({token_of(invitation) for invitation in made}) == 1000


def test_whoever_is_signed_in_is_asked_to_sign_out_first(
    client: Client, invitation: Invitation, requester: User
) -> None:
    client.force_login(requester)

    shown = client.get(path_of(invitation))
    posted = client.post(path_of(invitation), accept_data())

    page = shown.content.decode()
    assert (shown.status_code, posted.status_code) == (409, 409)
    assert "You are signed in as Hannah Brooks" in page
    assert f'name="next" value="{path_of(invitation)}"' in page
    assert Invitation.objects.get().state == Invitation.State.OPEN

    left = client.post("/accounts/logout/", {"next": path_of(invitation)})
    assert left["Location"] == path_of(invitation)
    assert client.get(path_of(invitation)).status_code == 200


def test_an_account_made_meanwhile_keeps_the_invitation_out(
    client: Client, invitation: Invitation
) -> None:
    User.objects.create_user(invitation.email, "old password x", name="Ines")

    response = client.post(path_of(invitation), accept_data())

    assert response.status_code == 200
    assert "There is an account with this address already" in response.content.decode()
    assert User.objects.get(email=invitation.email).check_password("old password x")
    assert Invitation.objects.get().state == Invitation.State.OPEN


def test_token_pages_are_kept_out_of_caches_and_referrers(
    client: Client, invitation: Invitation
) -> None:
    response = client.get(path_of(invitation))

    assert response["Referrer-Policy"] == "same-origin"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("close", [_as_is, _expire, _revoke, _use])
def test_token_pages_name_no_other_site(
    client: Client, invitation: Invitation, close: Callable[[Invitation], None]
) -> None:
    close(invitation)

    page = client.get(path_of(invitation)).content.decode()

    assert re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", page) == []


def test_a_repeated_post_makes_no_second_account(
    client: Client, invitation: Invitation
) -> None:
    client.post(path_of(invitation), accept_data())

    again = Client().post(path_of(invitation), accept_data(name="Somebody else"))

    assert again.status_code == 410
    assert User.objects.filter(email=invitation.email).count() == 1


def test_a_token_that_opens_nothing_makes_nobody(admin: User) -> None:
    with pytest.raises(InvitationClosedError):
        services.accept_invitation(token="1.x", name="Ines", password=NEW_PASSWORD)

    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_race_one_link_one_gets_the_account() -> None:
    admin = User.objects.create_user("ewa@x.example", name="Ewa", role=Role.ADMIN)
    token = token_of(invite(admin))
    barrier = threading.Barrier(2, timeout=10)
    outcomes: list[str] = []

    def race(name: str) -> None:
        barrier.wait()
        try:
            services.accept_invitation(token=token, name=name, password=NEW_PASSWORD)
            outcomes.append("in")
        except InvitationClosedError:
            outcomes.append("out")
        finally:
            connection.close()

    racers = [threading.Thread(target=race, args=[name]) for name in ("A", "B")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(outcomes) == ["in", "out"]
    assert User.objects.count() == 2
