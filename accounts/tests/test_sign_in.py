"""Signing in and out, and what keeps strangers from it."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import services
from accounts.models import User
from accounts.tests.builders import PASSWORD
from email_settings.models import OutboxMessage

LOGIN = "/accounts/login/"


def sign_in(
    client: Client,
    email: str,
    password: str = PASSWORD,
    *,
    ip: str = "192.0.2.1",
    **data: str,
) -> int:
    response = client.post(
        LOGIN, {"login": email, "password": password, **data}, REMOTE_ADDR=ip
    )
    return response.status_code


@pytest.fixture
def limits(settings: Settings) -> None:
    """The limits that the product has and the other tests do without."""
    cache.clear()
    settings.ACCOUNT_RATE_LIMITS = {
        "login": "60/m/ip",
        "login_failed": "10/15m/key,50/15m/ip",
        "reset_password": "20/m/ip,5/15m/key",
    }


def test_the_right_password_lets_in(client: Client, requester: User) -> None:
    response = client.post(LOGIN, {"login": requester.email, "password": PASSWORD})

    assert response.status_code == 302
    assert response["Location"] == "/"
    assert client.session["_auth_user_id"] == str(requester.pk)


def test_the_address_may_be_written_in_any_case(
    client: Client, requester: User
) -> None:
    assert sign_in(client, f"  {requester.email.upper()} ") == 302


@pytest.mark.parametrize("password", ["wrong", PASSWORD + " ", PASSWORD.upper(), ""])
def test_any_other_password_does_not(
    client: Client, requester: User, password: str
) -> None:
    assert sign_in(client, requester.email, password) == 200
    assert "_auth_user_id" not in client.session


def test_known_and_unknown_addresses_get_the_same_answer(requester: User) -> None:
    pages = [
        Client()
        .post(LOGIN, {"login": email, "password": "wrong"})
        .content.decode()
        .replace(email, "ADDRESS")
        for email in (requester.email, "nobody@larkfield.example")
    ]

    assert "do not match" in pages[0]
    assert _without_csrf(pages[0]) == _without_csrf(pages[1])


def _without_csrf(page: str) -> list[str]:
    return [line for line in page.splitlines() if "csrfmiddlewaretoken" not in line]


def test_a_wrong_password_is_hashed_once_for_known_and_unknown(
    requester: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def count_and_refuse(hasher: object, password: str, salt: str) -> str:
        hashed.append(password)
        return f"md5${salt}$x"

    monkeypatch.setattr(
        "django.contrib.auth.hashers.MD5PasswordHasher.encode",
        count_and_refuse,
    )
    counts = []
    for email in (requester.email, "nobody@larkfield.example"):
        hashed.clear()
        sign_in(Client(), email, "wrong")
        counts.append(len(hashed))

    assert counts == [1, 1]


def test_a_new_session_id_is_given_at_sign_in(client: Client, requester: User) -> None:
    client.get(LOGIN)
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    old = session.session_key

    sign_in(client, requester.email)

    assert client.session.session_key != old


def test_signing_out_kills_the_session_on_the_server(
    client: Client, requester: User
) -> None:
    sign_in(client, requester.email)
    cookie = client.cookies["ticketflow_session"].value

    response = client.post("/accounts/logout/")

    assert response["Location"] == LOGIN
    thief = Client()
    thief.cookies["ticketflow_session"] = cookie
    assert thief.get("/profile/").status_code == 302


def test_looking_at_the_sign_out_page_signs_nobody_out(
    client: Client, requester: User
) -> None:
    client.force_login(requester)

    assert "Sign out?" in client.get("/accounts/logout/").content.decode()
    assert client.get("/profile/").status_code == 200


def test_unasked_the_session_ends_with_the_browser(
    client: Client, requester: User
) -> None:
    sign_in(client, requester.email)

    assert client.session.get_expire_at_browser_close()


def test_remember_me_keeps_the_session_for_two_weeks(
    client: Client, requester: User
) -> None:
    sign_in(client, requester.email, remember="on")

    assert not client.session.get_expire_at_browser_close()
    assert client.session.get_expiry_age() == timedelta(days=14).total_seconds()


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(
    client: Client, requester: User
) -> None:
    sign_in(client, requester.email)

    cookie = client.cookies["ticketflow_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("/profile/", "/profile/"),
        ("/tickets/?q=a&b=c", "/tickets/?q=a&b=c"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://localhost/", "/"),
        ("https://help.example.com@evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("http:///evil.example", "/"),
        ("\thttps://evil.example", "/"),
    ],
)
def test_next_leads_nowhere_else(
    client: Client, requester: User, wanted: str, got: str
) -> None:
    response = client.post(
        LOGIN, {"login": requester.email, "password": PASSWORD, "next": wanted}
    )

    assert response["Location"] == got


def test_ten_wrong_passwords_make_the_eleventh_wait(
    client: Client, requester: User, limits: None
) -> None:
    wrong = [sign_in(client, requester.email, f"wrong {n}") for n in range(10)]
    response = client.post(
        LOGIN,
        {"login": requester.email, "password": PASSWORD},
        REMOTE_ADDR="192.0.2.1",
    )

    assert wrong == [200] * 10
    assert response.status_code == 429
    assert "Wait 15 minutes" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_nobody_is_locked_out_by_a_stranger(
    client: Client, requester: User, limits: None
) -> None:
    for number in range(12):
        sign_in(client, requester.email, f"wrong {number}", ip="203.0.113.9")

    assert sign_in(client, requester.email, ip="192.0.2.1") == 302


def test_an_unknown_address_is_limited_in_the_same_way(
    client: Client, limits: None, db: None
) -> None:
    answers = [sign_in(client, "nobody@x.example", f"wrong {n}") for n in range(11)]

    assert answers == [200] * 10 + [429]


def test_fifty_guesses_over_many_addresses_end_it_too(
    client: Client, limits: None, db: None
) -> None:
    answers = [sign_in(client, f"person{n}@x.example", "wrong") for n in range(51)]

    assert answers == [200] * 50 + [429]


def test_a_forwarded_address_that_nobody_vouches_for_changes_nothing(
    client: Client, requester: User, limits: None
) -> None:
    answers = [
        client.post(
            LOGIN,
            {"login": requester.email, "password": "wrong"},
            REMOTE_ADDR="192.0.2.1",
            headers={"X-Forwarded-For": f"198.51.100.{number}"},
        ).status_code
        for number in range(11)
    ]

    assert answers[-1] == 429


def test_a_new_password_ends_the_waiting(
    client: Client, requester: User, limits: None
) -> None:
    for number in range(10):
        sign_in(client, requester.email, f"wrong {number}")
    client.force_login(requester)
    client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "staple moon river"},
        REMOTE_ADDR="192.0.2.1",
    )
    client.logout()

    assert sign_in(client, requester.email, "staple moon river") == 302


@pytest.mark.parametrize("header", ["Remote-User", "X-Forwarded-User"])
def test_no_header_signs_anybody_in(
    client: Client, requester: User, header: str
) -> None:
    response = client.get("/profile/", headers={header: requester.email})

    assert response.status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        "signup/",
        "email/",
        "inactive/",
        "confirm-email/",
        "password/set/",
        "reauthenticate/",
        "login/code/",
        "login/code/confirm/",
        "social/connections/",
        "3rdparty/",
        "",
    ],
)
def test_what_makes_no_sense_here_does_not_exist(
    client: Client, requester: User, path: str
) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404
    client.force_login(requester)
    assert client.get(f"/accounts/{path}").status_code == 404


def test_the_deactivated_are_told_so_and_kept_out(
    client: Client, admin: User, requester: User
) -> None:
    services.deactivate_user(actor=admin, user_id=requester.pk)

    response = client.post(LOGIN, {"login": requester.email, "password": PASSWORD})

    assert response.status_code == 403
    assert "Your account is deactivated" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_with_a_wrong_password_the_deactivated_look_like_anybody(
    client: Client, admin: User, requester: User
) -> None:
    services.deactivate_user(actor=admin, user_id=requester.pk)

    response = client.post(LOGIN, {"login": requester.email, "password": "wrong"})

    assert "do not match" in response.content.decode()


def test_changing_the_password_needs_the_current_one(
    client: Client, requester: User
) -> None:
    client.force_login(requester)

    response = client.post(
        "/accounts/password/change/",
        {"oldpassword": "wrong", "password1": "staple moon river"},
    )

    requester.refresh_from_db()
    assert "This is not your current password" in response.content.decode()
    assert requester.check_password(PASSWORD)
    assert not OutboxMessage.objects.exists()


def test_changing_the_password_ends_the_other_sessions_and_tells_by_mail(
    requester: User,
) -> None:
    here, elsewhere = Client(), Client()
    here.force_login(requester)
    elsewhere.force_login(requester)

    response = here.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "staple moon river"},
    )

    mail = OutboxMessage.objects.get()
    assert response["Location"] == "/profile/"
    assert here.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302
    assert (mail.kind, mail.recipient) == ("password_changed", requester.email)
    assert "was changed" in mail.subject


def test_saving_a_password_brings_nothing_else_back(
    client: Client, admin: User, requester: User
) -> None:
    client.force_login(requester)
    User.objects.filter(pk=requester.pk).update(last_login=timezone.now())
    client.get("/accounts/password/change/")
    services.change_role(actor=admin, user_id=requester.pk, role="agent")

    response = client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "staple moon river"},
    )

    requester.refresh_from_db()
    assert response.status_code == 302
    assert requester.role == "agent"
    assert requester.check_password(PASSWORD)
