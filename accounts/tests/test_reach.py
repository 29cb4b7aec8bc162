"""Where people and admins see that an address gets no mail."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import reach, services
from accounts.errors import NoMailError
from accounts.models import AuditEntry, Invitation, User
from accounts.tests.builders import emails_of, expire, invite
from email_settings.models import (
    AwsRelease,
    Fate,
    OutboxMessage,
    SesSettings,
    Suppression,
)
from email_settings.suppression.standing import standing_of

PEOPLE = "/admin-panel/users/"
ANYWHERE = "/profile/"
Reason = Suppression.Reason
State = OutboxMessage.State


def suppress(address: str, reason: str = Reason.BOUNCED, **more: Any) -> Suppression:
    return Suppression.objects.create(
        address=address, address_lower=address.lower(), reason=reason, **more
    )


def tell(invitation: Invitation, fate: Fate, detail: str = "") -> None:
    assert invitation.outbox_message
    OutboxMessage.objects.filter(pk=invitation.outbox_message.pk).update(
        state=State.SENT, sent_at=timezone.now(), fate=fate, fate_detail=detail
    )


@pytest.fixture
def admin_client(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


@pytest.fixture
def live(db: None) -> SesSettings:
    return SesSettings.objects.create(mode=SesSettings.Mode.LIVE)


def text_of(client: Client, url: str, **more: Any) -> str:
    response = client.get(url, **more)
    assert response.status_code == 200
    return str(response.content.decode())


class TestOnePerson:
    def test_their_page_says_why_no_mail_reaches_them(
        self, admin_client: Client, requester: User
    ) -> None:
        entry = suppress(requester.email, detail="550 5.1.1 No such user")

        page = text_of(admin_client, f"{PEOPLE}{requester.pk}/")

        assert f"No e-mail goes to {requester.email}" in page
        assert "Mail to this address bounced for good." in page
        assert "550 5.1.1 No such user" in page
        assert f"/admin-panel/suppression-list/{entry.pk}/" in page

    def test_a_hold_says_when_it_is_tried_again(
        self, admin_client: Client, requester: User
    ) -> None:
        suppress(
            requester.email,
            Reason.FAILING,
            held_until=timezone.now() + timedelta(days=2, minutes=5),
        )

        page = text_of(admin_client, f"{PEOPLE}{requester.pk}/")

        assert "for now" in page
        assert "It is tried again" in page

    @pytest.mark.parametrize(
        "over",
        [
            {"closed_at": timezone.now()},
            {"held_until": timezone.now() - timedelta(minutes=1)},
        ],
    )
    def test_what_is_over_is_not_shown(
        self, admin_client: Client, requester: User, over: dict[str, Any]
    ) -> None:
        suppress(requester.email, **over)

        assert "No e-mail" not in text_of(admin_client, f"{PEOPLE}{requester.pk}/")
        assert "No e-mail" not in text_of(admin_client, PEOPLE)

    def test_their_last_mails_are_shown_newest_first_whatever_the_case(
        self, admin_client: Client, requester: User
    ) -> None:
        for number in range(7):
            OutboxMessage.objects.create(
                kind="public_reply",
                recipient=requester.email.upper(),
                subject=f"Mail {number}",
                created_at=timezone.now() - timedelta(hours=number),
            )

        page = admin_client.get(f"{PEOPLE}{requester.pk}/")

        shown = [mail.message.subject for mail in page.context["mails"]]
        assert shown == [f"Mail {number}" for number in range(5)]
        link = "/admin-panel/email-activity/?q=hannah%40larkfield.example"
        assert link in page.content.decode()

    def test_their_page_costs_the_same_however_much_mail_there_is(
        self, admin_client: Client, requester: User
    ) -> None:
        def cost() -> int:
            with CaptureQueriesContext(connection) as queries:
                text_of(admin_client, f"{PEOPLE}{requester.pk}/")
            return len(queries)

        first = cost()
        for number in range(9):
            OutboxMessage.objects.create(
                kind="reply", recipient=requester.email, subject=f"Mail {number}"
            )
        suppress(requester.email)

        assert cost() == first


class TestTheList:
    def test_people_without_mail_have_a_badge(
        self, admin_client: Client, requester: User, outsider: User
    ) -> None:
        suppress(requester.email.title())

        rows = admin_client.get(PEOPLE).context["people"].rows

        barred = {person.email: bool(standing) for person, standing in rows}
        assert barred[requester.email]
        assert not barred[outsider.email]

    def test_it_asks_once_for_all(self, admin_client: Client, requester: User) -> None:
        def cost() -> int:
            with CaptureQueriesContext(connection) as queries:
                text_of(admin_client, PEOPLE)
            return len(queries)

        first = cost()
        for number in range(20):
            person = User.objects.create_user(f"p{number}@x.example", name="P")
            suppress(person.email)

        assert cost() == first <= 12


class TestInvitations:
    @pytest.mark.parametrize(
        ("fate", "badge", "advice"),
        [
            (Fate.DELIVERED, "Delivered", ""),
            (Fate.DELAYED, "Delayed", "still tried"),
            (Fate.BOUNCED, "Bounced", "revoke the invitation and invite the right one"),
            (Fate.SOFT_BOUNCED, "Not delivered", "Resend it later"),
            (Fate.REJECTED, "Rejected", "Hand the link over"),
            (Fate.COMPLAINED, "Complained", "only if it is wanted"),
        ],
    )
    @pytest.mark.parametrize("url", [PEOPLE, PEOPLE + "invitations/{}/link/"])
    def test_a_row_and_the_page_of_the_link_say_what_became_of_the_mail(
        self,
        admin_client: Client,
        admin: User,
        fate: Fate,
        badge: str,
        advice: str,
        url: str,
    ) -> None:
        invitation = invite(admin)
        tell(invitation, fate, "The remote said so.")

        page = text_of(admin_client, url.format(invitation.pk))

        assert f"</svg>{badge}</span>" in page
        assert advice in page
        assert ("The remote said so." in page) is (fate != Fate.DELIVERED)

    def test_every_fate_that_needs_somebody_has_its_advice(self) -> None:
        assert set(reach.ADVICE) == set(Fate) - {Fate.SENT, Fate.DELIVERED}
        assert set(reach.FOR_THE_PERSON) == set(Reason)

    def test_those_that_bounced_are_counted_as_trouble(
        self, admin_client: Client, admin: User
    ) -> None:
        tell(invite(admin), Fate.BOUNCED)
        tell(invite(admin, "other@x.example"), Fate.DELIVERED)

        assert admin_client.get(PEOPLE).context["invitations"].trouble_count == 1

    def test_inviting_a_suppressed_address_warns_and_keeps_the_link(
        self, admin_client: Client, live: SesSettings
    ) -> None:
        suppress("Ines@larkfield.example")

        response = admin_client.post(
            f"{PEOPLE}invite/",
            {"emails": "ines@larkfield.example", "role": "requester"},
            follow=True,
        )

        page = response.content.decode()
        assert "No e-mail goes to ines@larkfield.example: Mail to this address" in page
        assert "An e-mail is on its way" not in page
        assert emails_of(list(Invitation.objects.all())) == ["ines@larkfield.example"]
        link = text_of(
            admin_client, f"{PEOPLE}invitations/{Invitation.objects.get().pk}/link/"
        )
        assert "Copy" in link

    def test_of_many_those_that_get_no_mail_are_named_before(
        self, admin_client: Client
    ) -> None:
        suppress("p3@x.example")

        page = admin_client.post(
            f"{PEOPLE}invite/",
            {
                "emails": " ".join(f"p{n}@x.example" for n in range(7)),
                "role": "requester",
            },
        )

        assert list(page.context["barred"]) == ["p3@x.example"]
        assert not Invitation.objects.exists()

    def test_a_link_that_works_is_not_voided_for_a_mail_that_would_not_leave(
        self, admin_client: Client, admin: User
    ) -> None:
        invitation = invite(admin)
        suppress(invitation.email)

        response = admin_client.post(
            f"{PEOPLE}invitations/{invitation.pk}/resend/", follow=True
        )

        assert "Not sent again" in response.content.decode()
        assert Invitation.objects.get().nonce == invitation.nonce
        assert OutboxMessage.objects.count() == 1

    def test_an_expired_one_is_renewed_all_the_same_to_be_handed_over(
        self, admin_client: Client, admin: User, live: SesSettings
    ) -> None:
        invitation = expire(invite(admin))
        suppress(invitation.email)

        response = admin_client.post(
            f"{PEOPLE}invitations/{invitation.pk}/resend/", follow=True
        )

        assert "No e-mail goes to" in response.content.decode()
        assert Invitation.objects.get().state == Invitation.State.OPEN

    def test_where_security_mail_is_let_through_resend_works(self, admin: User) -> None:
        invitation = invite(admin)
        suppress(invitation.email, security_allowed_at=timezone.now())

        services.resend_invitation(actor=admin, invitation_id=invitation.pk)

        assert OutboxMessage.objects.count() == 2

    def test_a_refusal_is_an_error_of_the_service(self, admin: User) -> None:
        invitation = invite(admin)
        suppress(invitation.email)

        with pytest.raises(NoMailError):
            services.resend_invitation(actor=admin, invitation_id=invitation.pk)


class TestOneself:
    @pytest.mark.parametrize("who", ["requester", "agent", "admin"])
    @pytest.mark.parametrize("reason", Reason.values)
    def test_everybody_is_told_on_their_pages(
        self, client: Client, who: str, reason: str, request: pytest.FixtureRequest
    ) -> None:
        person = request.getfixturevalue(who)
        suppress(person.email, reason)
        client.force_login(person)

        page = text_of(client, ANYWHERE)

        assert f"Your address is {person.email}." in page
        assert "We cannot e-mail you" in page
        assert "Amazon" not in page
        assert "AWS" not in page

    def test_a_hold_says_when_we_try_again(
        self, client: Client, requester: User
    ) -> None:
        suppress(
            requester.email,
            Reason.FAILING,
            held_until=timezone.now() + timedelta(days=1),
        )
        client.force_login(requester)

        assert "We try again" in text_of(client, "/tickets/")

    def test_the_others_are_not(
        self, client: Client, requester: User, outsider: User
    ) -> None:
        suppress(outsider.email)
        client.force_login(requester)

        assert "We cannot e-mail you" not in text_of(client, ANYWHERE)

    def test_it_costs_those_nothing_whom_mail_reaches_and_others_one_query(
        self, client: Client, requester: User
    ) -> None:
        def cost() -> tuple[int, int]:
            with CaptureQueriesContext(connection) as queries:
                text_of(client, "/tickets/")
            asked = [q for q in queries if '"email_settings_suppression' in q["sql"]]
            return len(queries), len(asked)

        client.force_login(requester)
        usual, with_the_person = cost()
        suppress(requester.email)

        assert with_the_person == 1
        assert cost() == (usual + 1, 2)

    def test_signed_out_nothing_is_asked(self, client: Client, db: None) -> None:
        with CaptureQueriesContext(connection) as queries:
            text_of(client, "/accounts/login/")

        assert not [q for q in queries if "suppression" in q["sql"]]

    def test_how_it_stands_goes_by_the_address_in_lower_case(self, db: None) -> None:
        suppress("Maya@Larkfield.Example")

        assert standing_of("maya@larkfield.example")


class TestMailMeAgain:
    URL = "/profile/email/again/"

    def press(self, client: Client) -> str:
        return str(client.post(self.URL, follow=True).content.decode())

    def test_ones_own_complaint_is_taken_back_here_and_at_aws(
        self, client: Client, requester: User
    ) -> None:
        SesSettings.objects.create(
            source="server", region="eu-west-2", from_email="help@x.example"
        )
        suppress(requester.email, Reason.COMPLAINED)
        client.force_login(requester)

        assert "Mail me again" in text_of(client, ANYWHERE)
        page = self.press(client)

        assert f"We e-mail you at {requester.email} again." in page
        assert "We cannot e-mail you" not in page
        assert Suppression.objects.get().closed_by == requester
        assert AwsRelease.objects.get().address == requester.email
        assert AuditEntry.objects.filter(action="asked for mail again at").exists()

    @pytest.mark.parametrize(
        "reason", [r for r in Reason.values if r != Reason.COMPLAINED]
    )
    def test_for_any_other_reason_ones_word_does_not_do(
        self, client: Client, requester: User, reason: str
    ) -> None:
        suppress(requester.email, reason)
        client.force_login(requester)

        assert "Mail me again" not in text_of(client, ANYWHERE)
        assert "for another reason by now" in self.press(client)
        assert Suppression.objects.get().closed_at is None

    def test_who_changes_their_mind_too_often_asks_an_admin(
        self, client: Client, requester: User
    ) -> None:
        client.force_login(requester)
        for _ in range(2):
            suppress(requester.email, Reason.COMPLAINED)
            assert "again." in self.press(client)
        suppress(requester.email, Reason.COMPLAINED)

        assert "Ask an admin" in self.press(client)
        assert standing_of(requester.email)

    def test_nobody_speaks_for_others(
        self, client: Client, requester: User, outsider: User
    ) -> None:
        suppress(outsider.email, Reason.COMPLAINED)
        client.force_login(requester)

        self.press(client)

        assert standing_of(outsider.email)
