"""Inviting people, and what becomes of the invitations."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import invitations, services
from accounts.errors import InvitationClosedError, TooManyAddressesError
from accounts.models import AuditEntry, Invitation, Role, User
from accounts.tests.builders import (
    NEW_PASSWORD,
    emails_of,
    expire,
    invite,
    path_of,
    token_of,
)
from email_settings import credentials
from email_settings import services as mail_services
from email_settings.models import Brand, Lane, OutboxMessage
from email_settings.tests.builders import make_settings
from ticketflow.errors import DomainError

INVITE = "/admin-panel/users/invite/"


@pytest.fixture
def admin_client(client: Client, admin: User, brand: Brand) -> Client:
    client.force_login(admin)
    return client


def many(count: int) -> list[str]:
    return [f"person{number}@larkfield.example" for number in range(count)]


def test_an_invited_person_gets_a_mail_with_the_link(admin: User, brand: Brand) -> None:
    services.invite_users(
        actor=admin,
        emails=["Ines@Larkfield.example"],
        role=Role.AGENT,
        note="Welcome to Quality & <b>co</b>!",
    )

    invitation = Invitation.objects.get()
    mail = OutboxMessage.objects.get()
    assert invitation.email == "ines@larkfield.example"
    assert invitation.outbox_message == mail
    assert (mail.kind, mail.lane) == ("invitation", Lane.SECURITY)
    assert mail.is_secret
    assert mail.recipient == "ines@larkfield.example"
    assert mail.subject == "Ewa Kowalska invited you to Larkfield"
    assert mail.headers["Auto-Submitted"] == "auto-generated"
    assert mail.headers["X-Auto-Response-Suppress"] == "All"
    assert mail.expires_at is not None
    # Neither outlives the other.
    assert abs(mail.expires_at - invitation.expires_at) < timedelta(minutes=1)


def test_the_mail_carries_note_and_link_in_both_parts(
    admin: User, brand: Brand
) -> None:
    services.invite_users(
        actor=admin,
        emails=["ines@larkfield.example"],
        role=Role.REQUESTER,
        note="Quality & <b>co</b>",
    )

    link = invitations.link_for(Invitation.objects.get())
    text, html = credentials.open_body(OutboxMessage.objects.get())
    assert link.startswith(f"{django_settings.SITE_URL}/invitations/")
    assert link in text
    assert f'href="{link}"' in html
    assert "Ewa Kowalska: Quality & <b>co</b>" in text
    assert "Quality &amp; &lt;b&gt;co&lt;/b&gt;" in html


def test_several_addresses_in_any_shape_are_invited(admin_client: Client) -> None:
    response = admin_client.post(
        INVITE,
        {
            "emails": "a@x.example, B@x.example;c@x.example\n <d@x.example>  a@x.example",
            "role": "agent",
            "note": "",
        },
    )

    assert response.status_code == 302
    invited = Invitation.objects.order_by("email")
    assert emails_of(list(invited)) == [f"{name}@x.example" for name in "abcd"]
    assert {invitation.role for invitation in invited} == {"agent"}
    assert OutboxMessage.objects.count() == 4


def test_each_bad_address_is_named_and_nobody_is_invited(admin_client: Client) -> None:
    response = admin_client.post(
        INVITE, {"emails": "good@x.example, bad@, worse", "role": "agent"}
    )

    page = response.content.decode()
    assert response.status_code == 200
    assert "“bad@” is not an e-mail address" in page
    assert "“worse” is not an e-mail address" in page
    assert "good@x.example" in page
    assert not Invitation.objects.exists()
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize(
    "data",
    [
        {"emails": "", "role": "agent"},
        {"emails": " ,; ", "role": "agent"},
        {"emails": "a@x.example", "role": "owner"},
        {"emails": "a@x.example", "role": ""},
        {"emails": "a@x.example", "role": "agent", "note": "x" * 1001},
        {"emails": f"{'a' * 250}@x.example", "role": "agent"},
        {"emails": " ".join(many(51)), "role": "agent"},
    ],
)
def test_bad_input_invites_nobody(admin_client: Client, data: dict[str, str]) -> None:
    response = admin_client.post(INVITE, data)

    assert response.status_code == 200
    assert response.context["form"].errors
    assert not Invitation.objects.exists()


def test_the_service_too_refuses_more_than_fifty(admin: User) -> None:
    with pytest.raises(TooManyAddressesError):
        services.invite_users(actor=admin, emails=many(51), role=Role.AGENT)

    assert not Invitation.objects.exists()


def test_known_addresses_are_named_and_the_others_invited(
    admin_client: Client, admin: User, agent: User, requester: User
) -> None:
    services.deactivate_user(actor=admin, user_id=requester.pk)
    invite(admin, "open@larkfield.example")

    response = admin_client.post(
        INVITE,
        {
            "emails": "new@larkfield.example open@larkfield.example "
            f"{agent.email} {requester.email}",
            "role": "requester",
        },
        follow=True,
    )

    page = response.content.decode()
    assert "new@larkfield.example invited" in page
    assert "open@larkfield.example is invited already" in page
    assert f"{agent.email} has an account already" in page
    assert f"{requester.email} has an account that is deactivated" in page
    assert OutboxMessage.objects.filter(kind="invitation").count() == 2


def test_many_invitations_are_sent_only_after_the_number_was_seen(
    admin_client: Client,
) -> None:
    data = {"emails": "\n".join(many(6)), "role": "requester", "note": ""}

    first = admin_client.post(INVITE, data)
    page = first.content.decode().replace("\xa0", " ")
    assert "Send 6 invitations" in page
    assert not OutboxMessage.objects.exists()

    second = admin_client.post(INVITE, {**data, "confirmed": "6"})
    assert second.status_code == 302
    assert OutboxMessage.objects.count() == 6


def test_a_number_that_grew_meanwhile_is_shown_again(admin_client: Client) -> None:
    data = {"emails": "\n".join(many(7)), "role": "requester", "confirmed": "6"}

    assert admin_client.post(INVITE, data).status_code == 200
    assert not OutboxMessage.objects.exists()


def test_an_expired_invitation_is_renewed_by_inviting_again(admin: User) -> None:
    old = expire(invite(admin, role=Role.REQUESTER))
    old_link = path_of(old)

    renewed = invite(admin, role=Role.AGENT)

    assert renewed.pk == old.pk
    assert renewed.role == Role.AGENT
    assert renewed.state == Invitation.State.OPEN
    assert path_of(renewed) != old_link


def test_renewing_an_expired_invitation_says_nothing_of_a_link_that_works(
    admin_client: Client, admin: User
) -> None:
    expire(invite(admin))

    data = {"emails": "ines@larkfield.example", "role": "agent", "note": ""}
    page = admin_client.post(INVITE, data, follow=True).content.decode()

    assert "ines@larkfield.example invited." in page
    assert "Not invited" not in page


def test_an_open_invitation_is_not_made_twice(admin: User) -> None:
    invite(admin)

    again = services.invite_users(
        actor=admin, emails=["INES@larkfield.example"], role=Role.AGENT
    )

    assert again == []
    assert OutboxMessage.objects.count() == 1


def test_resending_voids_the_old_link_and_mails_a_new_one(
    admin_client: Client, admin: User
) -> None:
    invitation = expire(invite(admin))
    old = path_of(invitation)

    response = admin_client.post(
        f"/admin-panel/users/invitations/{invitation.pk}/resend/", follow=True
    )

    invitation.refresh_from_db()
    assert (
        "earlier link of ines@larkfield.example no longer" in response.content.decode()
    )
    assert invitation.expires_at > timezone.now() + timedelta(days=6)
    assert OutboxMessage.objects.count() == 2
    anonymous = Client()
    assert anonymous.get(old).status_code == 404
    assert anonymous.get(path_of(invitation)).status_code == 200


def test_revoking_voids_the_link(admin_client: Client, admin: User) -> None:
    invitation = invite(admin)

    admin_client.post(f"/admin-panel/users/invitations/{invitation.pk}/revoke/")

    invitation.refresh_from_db()
    assert invitation.state == Invitation.State.REVOKED
    assert Client().get(path_of(invitation)).status_code == 410
    assert OutboxMessage.objects.count() == 1


def test_the_revoked_can_be_invited_again(admin: User) -> None:
    services.revoke_invitation(actor=admin, invitation_id=invite(admin).pk)

    assert invite(admin).state == Invitation.State.OPEN


def mail_states() -> list[str]:
    return list(OutboxMessage.objects.order_by("pk").values_list("state", flat=True))


def test_resending_calls_back_the_mail_with_the_old_link(admin: User) -> None:
    invitation = invite(admin)

    services.resend_invitation(actor=admin, invitation_id=invitation.pk)

    assert mail_states() == ["cancelled", "queued"]
    assert not OutboxMessage.objects.earliest("pk").text_body


def test_revoking_calls_back_the_mail(admin: User) -> None:
    services.revoke_invitation(actor=admin, invitation_id=invite(admin).pk)

    assert mail_states() == ["cancelled"]


def test_renewing_an_expired_invitation_calls_back_the_first_mail(admin: User) -> None:
    expire(invite(admin))
    invite(admin)

    assert mail_states() == ["cancelled", "queued"]


def test_accepting_by_a_copied_link_calls_back_the_mail(admin: User) -> None:
    token = token_of(invite(admin))

    services.accept_invitation(token=token, name="Ines", password=NEW_PASSWORD)

    assert mail_states() == ["cancelled"]


@pytest.mark.parametrize("what", ["resend_invitation", "revoke_invitation"])
def test_mail_in_doubt_is_called_off_with_its_link(admin: User, what: str) -> None:
    """Else somebody could have the dead link sent again."""
    invitation = invite(admin)
    first = OutboxMessage.objects.get()
    OutboxMessage.objects.update(state="unknown", reason_code="no_answer")

    getattr(services, what)(actor=admin, invitation_id=invitation.pk)

    first.refresh_from_db()
    assert first.state == OutboxMessage.State.CANCELLED
    assert first.reason == (
        "It may have arrived. The link in this message does not work any more."
    )
    assert not first.text_body
    with pytest.raises(DomainError, match="A newer one was made"):
        mail_services.resend_message(uid=first.uid, actor=admin)
    first.refresh_from_db()
    assert first.state == OutboxMessage.State.CANCELLED


def test_mail_that_left_keeps_its_state_when_the_invitation_is_revoked(
    admin: User,
) -> None:
    invitation = invite(admin)
    OutboxMessage.objects.update(state="sent", sent_at=timezone.now())

    services.revoke_invitation(actor=admin, invitation_id=invitation.pk)

    assert mail_states() == ["sent"]


@pytest.mark.parametrize("change", ["resend_invitation", "revoke_invitation"])
@pytest.mark.parametrize("field", ["accepted_at", "revoked_at"])
def test_a_closed_invitation_stays_as_it_is(
    admin: User, field: str, change: str
) -> None:
    invitation = invite(admin)
    Invitation.objects.update(**{field: timezone.now()})
    before = Invitation.objects.values().get()

    with pytest.raises(InvitationClosedError):
        getattr(services, change)(actor=admin, invitation_id=invitation.pk)

    assert Invitation.objects.values().get() == before
    assert OutboxMessage.objects.count() == 1


@pytest.mark.parametrize("deed", ["resend", "revoke"])
def test_acting_on_a_closed_invitation_is_explained(
    admin_client: Client, admin: User, deed: str
) -> None:
    invitation = invite(admin)
    services.revoke_invitation(actor=admin, invitation_id=invitation.pk)

    response = admin_client.post(
        f"/admin-panel/users/invitations/{invitation.pk}/{deed}/", follow=True
    )

    assert "was revoked in the meantime" in response.content.decode()


@pytest.mark.parametrize("deed", ["resend", "revoke"])
def test_changes_need_a_post(admin_client: Client, admin: User, deed: str) -> None:
    url = f"/admin-panel/users/invitations/{invite(admin).pk}/{deed}/"

    assert admin_client.get(url).status_code == 405


@pytest.mark.parametrize("who", ["requester", "agent"])
def test_only_admins_invite_resend_and_revoke(
    who: str, admin: User, request: pytest.FixtureRequest
) -> None:
    actor = request.getfixturevalue(who)
    invitation = invite(admin)
    before = list(Invitation.objects.values())

    with pytest.raises(PermissionDenied):
        services.invite_users(actor=actor, emails=["x@x.example"], role="agent")
    for change in (services.resend_invitation, services.revoke_invitation):
        with pytest.raises(PermissionDenied):
            change(actor=actor, invitation_id=invitation.pk)

    assert list(Invitation.objects.values()) == before


def test_an_unknown_invitation_is_not_found(admin: User) -> None:
    for change in (services.resend_invitation, services.revoke_invitation):
        with pytest.raises(Http404):
            change(actor=admin, invitation_id=999)


def test_copy_link_shows_the_link_that_was_mailed(
    admin_client: Client, admin: User
) -> None:
    invitation = invite(admin)

    response = admin_client.get(f"/admin-panel/users/invitations/{invitation.pk}/link/")

    page = response.content.decode()
    assert invitations.link_for(invitation) in page
    assert 'data-copy="link"' in page
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("state", ["expired", "revoked"])
def test_copy_link_shows_no_dead_link(
    admin_client: Client, admin: User, state: str
) -> None:
    invitation = invite(admin)
    if state == "expired":
        expire(invitation)
    else:
        services.revoke_invitation(actor=admin, invitation_id=invitation.pk)

    page = admin_client.get(
        f"/admin-panel/users/invitations/{invitation.pk}/link/"
    ).content.decode()

    assert token_of(invitation) not in page
    assert f"this invitation is <b>{state}</b>" in page


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        ("queued", "", "Queued"),
        ("sent", "", "Sent"),
        ("held", "Amazon SES refuses the keys.", "Held"),
        ("failed", "The address does not exist.", "Failed"),
        ("unknown", "No answer came.", "Unknown"),
    ],
)
def test_a_row_shows_what_became_of_its_mail(
    admin_client: Client, admin: User, state: str, reason: str, shown: str
) -> None:
    mail = invite(admin).outbox_message
    assert mail is not None
    OutboxMessage.objects.filter(pk=mail.pk).update(
        state=state, reason=reason, sent_at=timezone.now()
    )

    page = admin_client.get("/admin-panel/users/").content.decode()

    assert f"{shown}</span>" in page
    assert reason in page


def test_mail_captured_in_rehearsal_is_no_trouble(
    admin_client: Client, admin: User
) -> None:
    mail = invite(admin).outbox_message
    assert mail is not None
    OutboxMessage.objects.filter(pk=mail.pk).update(
        state="held", reason_code="rehearsal"
    )

    page = admin_client.get("/admin-panel/users/").content.decode()

    assert "Captured</span>" in page
    assert "not delivered" not in page


def test_in_rehearsal_inviting_and_resending_say_that_no_mail_leaves(
    admin_client: Client,
) -> None:
    data = {"emails": "a@x.example", "role": "agent", "note": ""}
    invited = admin_client.post(INVITE, data, follow=True).content.decode()
    resend = f"/admin-panel/users/invitations/{Invitation.objects.get().pk}/resend/"
    resent = admin_client.post(resend, follow=True).content.decode()

    for page in (invited, resent):
        assert "no e-mail leaves" in page
        assert "on its way" not in page


def test_live_inviting_and_resending_say_that_a_mail_is_on_its_way(
    admin_client: Client,
) -> None:
    make_settings(is_live=True)
    data = {"emails": "a@x.example", "role": "agent", "note": ""}
    invited = admin_client.post(INVITE, data, follow=True).content.decode()
    resend = f"/admin-panel/users/invitations/{Invitation.objects.get().pk}/resend/"
    resent = admin_client.post(resend, follow=True).content.decode()

    assert "a@x.example invited. An e-mail is on its way" in invited
    assert "no longer works. An e-mail is on its way" in resent


def test_the_list_of_all_shows_accepted_expired_and_revoked(
    admin_client: Client, admin: User
) -> None:
    expire(invite(admin, "expired@x.example"))
    services.revoke_invitation(
        actor=admin, invitation_id=invite(admin, "revoked@x.example").pk
    )
    services.accept_invitation(
        token=token_of(invite(admin, "in@x.example")), name="In", password="x y z q 12"
    )

    pending = admin_client.get("/admin-panel/users/").content.decode()
    everything = admin_client.get(
        "/admin-panel/users/?invitations=all"
    ).content.decode()

    assert "Expired" in pending
    assert "revoked@x.example" not in pending
    assert "Revoked</span>" in everything
    assert "Accepted</span>" in everything


def test_every_step_is_in_the_history(admin: User) -> None:
    invitation = invite(admin)
    services.resend_invitation(actor=admin, invitation_id=invitation.pk)
    services.revoke_invitation(actor=admin, invitation_id=invitation.pk)

    told = AuditEntry.objects.order_by("pk").values_list("actor", "action", "target")
    assert list(told) == [
        (admin.pk, "invited", "ines@larkfield.example"),
        (admin.pk, "sent a new invitation to", "ines@larkfield.example"),
        (admin.pk, "revoked the invitation of", "ines@larkfield.example"),
    ]


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_invite_the_same_address_make_one_invitation() -> None:
    admins = [
        User.objects.create_user(f"{n}@x.example", name=n, role=Role.ADMIN)
        for n in ("a", "b")
    ]
    barrier = threading.Barrier(2, timeout=10)
    made: list[Invitation] = []

    def race(actor: User) -> None:
        barrier.wait()
        made.extend(
            services.invite_users(
                actor=actor, emails=["ines@x.example"], role=Role.AGENT
            )
        )
        connection.close()

    racers = [threading.Thread(target=race, args=[actor]) for actor in admins]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert len(made) == 1
    assert OutboxMessage.objects.count() == 1


def test_with_a_broken_key_file_nobody_is_invited_and_the_page_says_why(
    admin_client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.KEYS_FILE = tmp_path / "keys"
    settings.KEYS_FILE.write_text("this is no key")

    response = admin_client.post(INVITE, {"emails": "a@x.example", "role": "agent"})

    assert response.status_code == 200
    assert response.context["form"].non_field_errors()
    assert not Invitation.objects.exists()
    assert not AuditEntry.objects.exists()
