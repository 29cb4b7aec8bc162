"""An admin gives somebody another address."""

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from accounts import email_change, services
from accounts.errors import AddressError, OwnAccountError
from accounts.models import AuditEntry, EmailChange, User
from accounts.tests.builders import PASSWORD
from accounts.tests.test_email_change import ask, mails_to
from accounts.tests.test_reach import suppress
from email_settings.models import OutboxMessage, SesSettings

OLD, NEW = "hannah@larkfield.example", "hannah@new.example"


def url_of(person: User) -> str:
    return f"/admin-panel/users/{person.pk}/email/"


@pytest.fixture
def admin_client(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


@pytest.fixture
def live(db: None) -> SesSettings:
    return SesSettings.objects.create(
        mode="live", source="server", region="eu-west-2", from_email="help@x.example"
    )


def test_the_first_page_says_what_follows_and_changes_nothing(
    admin_client: Client, requester: User
) -> None:
    page = admin_client.post(url_of(requester), {"new_email": NEW.upper()})

    text = page.content.decode()
    assert f"Change the address to {NEW}?" in text
    assert "All sessions of Hannah Brooks end." in text
    assert "Mail that waits already still goes to" in text
    requester.refresh_from_db()
    assert requester.email == OLD
    assert not OutboxMessage.objects.exists()


def test_the_second_one_does_it_and_tells_both_addresses(
    admin_client: Client, admin: User, requester: User
) -> None:
    theirs = Client()
    theirs.force_login(requester)

    page = admin_client.post(
        url_of(requester), {"new_email": NEW, "confirmed": NEW}, follow=True
    )

    requester.refresh_from_db()
    assert requester.email == NEW
    assert f"Hannah Brooks signs in with {NEW}" in page.content.decode()
    assert theirs.get("/profile/").status_code == 302
    [old], [new] = mails_to(OLD), mails_to(NEW)
    assert "Ewa Kowalska, an admin of" in old.text
    assert "Did you not want that? Tell an admin" in old.text
    assert f"from {OLD} to {NEW}. Your password stays the same" in new.text
    assert not old.is_secret
    assert not new.is_secret
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action) == (admin, "changed the address to")


@pytest.mark.parametrize("confirmed", ["", "other@x.example"])
def test_what_was_not_seen_is_not_done(
    admin_client: Client, requester: User, confirmed: str
) -> None:
    admin_client.post(url_of(requester), {"new_email": NEW, "confirmed": confirmed})

    requester.refresh_from_db()
    assert requester.email == OLD


@pytest.mark.parametrize(
    ("new_email", "says"),
    [
        (
            "oliver@larkfield.example",
            "is the address of another account (Oliver Grant)",
        ),
        (OLD, "is the address of Hannah Brooks already"),
        ("nobody", "valid e"),
        ("", "required"),
    ],
)
@pytest.mark.parametrize("is_second", [False, True])
def test_what_can_not_be_is_refused_clearly(
    admin_client: Client,
    requester: User,
    outsider: User,
    new_email: str,
    says: str,
    is_second: bool,  # noqa: FBT001 - of the table
) -> None:
    data = {"new_email": new_email} | ({"confirmed": new_email} if is_second else {})

    page = admin_client.post(url_of(requester), data)

    assert says in page.content.decode()
    assert not EmailChange.objects.exists()


def test_one_of_somebody_deactivated_is_refused_and_named(
    admin: User, requester: User, outsider: User
) -> None:
    services.deactivate_user(actor=admin, user_id=outsider.pk)

    with pytest.raises(AddressError, match=r"Oliver Grant, deactivated"):
        email_change.change_for(
            actor=admin, user_id=requester.pk, new_email=outsider.email
        )


def test_an_address_that_gets_no_mail_is_warned_of(
    admin_client: Client, requester: User
) -> None:
    suppress(NEW)

    page = admin_client.post(url_of(requester), {"new_email": NEW})

    assert f"No e-mail goes to {NEW}" in page.content.decode()


def test_what_the_person_waited_for_is_over(admin: User, requester: User) -> None:
    change = ask(requester)

    email_change.change_for(actor=admin, user_id=requester.pk, new_email="h@x.example")

    change.refresh_from_db()
    assert change.state == EmailChange.State.CANCELLED
    assert mails_to(NEW)[0].state == OutboxMessage.State.CANCELLED


def test_ones_own_goes_by_the_link(
    admin_client: Client, admin: User, live: SesSettings
) -> None:
    page = admin_client.post(
        url_of(admin), {"new_email": NEW, "confirmed": NEW}, follow=True
    )

    assert "Change your own address on your profile" in page.content.decode()
    admin.refresh_from_db()
    assert admin.email == "ewa@larkfield.example"
    with pytest.raises(OwnAccountError):
        email_change.change_for(actor=admin, user_id=admin.pk, new_email=NEW)


def test_while_no_mail_leaves_ones_own_is_changed_and_one_stays_signed_in(
    admin_client: Client, admin: User
) -> None:
    other = Client()
    other.force_login(admin)

    page = admin_client.post(
        url_of(admin), {"new_email": NEW, "confirmed": NEW}, follow=True
    )

    assert page.status_code == 200
    admin.refresh_from_db()
    assert admin.email == NEW
    assert other.get("/profile/").status_code == 302


@pytest.mark.parametrize("who", ["requester", "agent"])
def test_only_admins_may(
    who: str, outsider: User, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(PermissionDenied):
        email_change.change_for(
            actor=request.getfixturevalue(who), user_id=outsider.pk, new_email=NEW
        )


def test_the_person_signs_in_with_it_at_once(admin: User, requester: User) -> None:
    email_change.change_for(actor=admin, user_id=requester.pk, new_email=NEW)

    data = {"login": NEW, "password": PASSWORD}
    assert Client().post("/accounts/login/", data).status_code == 302
