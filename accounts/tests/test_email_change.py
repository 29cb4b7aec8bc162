"""A person changes the address they sign in with."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import email_change, passwords, services
from accounts.errors import (
    AddressError,
    EmailChangeClosedError,
    InvitationClosedError,
    TooManyChangesError,
)
from accounts.models import AuditEntry, EmailChange, Invitation, Role, User
from accounts.tests.builders import NEW_PASSWORD, PASSWORD, invite, token_of
from accounts.tests.test_reach import suppress
from accounts.tokens import ResetTokenGenerator
from email_settings import credentials
from email_settings.models import Fate, Lane, OutboxMessage, SesSettings, Suppression

PAGE = "/profile/email/"
OLD, NEW = "hannah@larkfield.example", "hannah@new.example"
State = OutboxMessage.State


def ask(person: User, new_email: str = NEW) -> EmailChange:
    return email_change.ask(actor=person, new_email=new_email)


def path_of(change: EmailChange) -> str:
    return "/" + email_change.link_for(change).split("/", 3)[3]


def token(change: EmailChange) -> str:
    return path_of(change).split("/")[2]


def mails_to(address: str) -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(recipient=address).order_by("pk"))


def text_of(message: OutboxMessage) -> str:
    if not message.is_secret:
        return message.text
    return credentials.open_body(message)[0]


@pytest.fixture
def mine(client: Client, requester: User) -> Client:
    client.force_login(requester)
    return client


@pytest.fixture
def change(requester: User) -> EmailChange:
    return ask(requester)


class TestAsking:
    def test_a_link_goes_to_the_new_address_and_nothing_changes_yet(
        self, mine: Client, requester: User
    ) -> None:
        page = mine.post(PAGE, {"new_email": NEW, "password": PASSWORD}, follow=True)

        requester.refresh_from_db()
        [mail] = OutboxMessage.objects.all()
        change = EmailChange.objects.get()
        assert requester.email == OLD
        assert (mail.recipient, mail.lane, mail.is_secret) == (NEW, Lane.SECURITY, True)
        assert mail.kind == "email_change"
        assert email_change.link_for(change) in text_of(mail)
        assert f"A link goes to <b>{NEW}</b>" in page.content.decode()
        assert "Queued" in page.content.decode()

    @pytest.mark.parametrize("who", ["requester", "agent", "admin"])
    def test_everybody_may(
        self, client: Client, who: str, request: pytest.FixtureRequest
    ) -> None:
        person = request.getfixturevalue(who)
        client.force_login(person)

        client.post(PAGE, {"new_email": NEW, "password": PASSWORD})

        assert EmailChange.objects.get().person == person

    @pytest.mark.parametrize(
        ("new_email", "password", "field"),
        [
            (NEW, "wrong horse", "password"),
            (NEW, "", "password"),
            ("", PASSWORD, "new_email"),
            ("nobody", PASSWORD, "new_email"),
            ("a@x.example\x00", PASSWORD, "new_email"),
            ("a@x.example\r\nBcc: b@x.example", PASSWORD, "new_email"),
            ("x" * 250 + "@x.example", PASSWORD, "new_email"),
        ],
    )
    def test_bad_input_sends_nothing(
        self, mine: Client, new_email: str, password: str, field: str
    ) -> None:
        response = mine.post(PAGE, {"new_email": new_email, "password": password})

        assert response.context["form"].errors[field]
        assert not OutboxMessage.objects.exists()
        assert not EmailChange.objects.exists()

    @pytest.mark.parametrize("same", [OLD, OLD.upper(), f" {OLD} "])
    def test_ones_own_address_is_refused_in_any_case(
        self, mine: Client, same: str
    ) -> None:
        page = mine.post(PAGE, {"new_email": same, "password": PASSWORD})

        assert "This is your address already." in page.content.decode()
        assert not OutboxMessage.objects.exists()

    def test_the_new_one_is_kept_in_lower_case(self, requester: User) -> None:
        change = ask(requester, " Hannah@New.Example ")

        email_change.confirm(token=token(change))

        requester.refresh_from_db()
        assert requester.email == NEW

    def test_an_address_that_gets_no_mail_is_refused_at_once(
        self, mine: Client
    ) -> None:
        suppress(NEW.upper(), Suppression.Reason.COMPLAINED)

        page = mine.post(PAGE, {"new_email": NEW, "password": PASSWORD})

        assert f"We cannot e-mail {NEW}: mail to it" in page.content.decode()
        assert "spam" not in page.content.decode()  # nobody else's business
        assert not OutboxMessage.objects.exists()

    def test_five_letters_an_hour_are_all(self, requester: User) -> None:
        for number in range(5):
            ask(requester, f"h{number}@new.example")

        with pytest.raises(TooManyChangesError):
            email_change.resend(actor=requester)

        assert OutboxMessage.objects.count() == 5
        EmailChange.objects.update(created_at=timezone.now() - timedelta(minutes=61))
        ask(requester)

    def test_passwords_can_not_be_guessed_here(
        self, mine: Client, settings: Settings
    ) -> None:
        cache.clear()
        settings.ACCOUNT_RATE_LIMITS = {}
        data = {"new_email": NEW, "password": "wrong"}
        codes = [mine.post(PAGE, data).status_code for _ in range(7)]

        assert codes[0] == 200
        assert codes[-1] == 429
        assert mine.post("/accounts/password/change/").status_code == 429

    def test_whoever_is_deactivated_does_not_get_there(
        self, mine: Client, admin: User, requester: User
    ) -> None:
        services.deactivate_user(actor=admin, user_id=requester.pk)

        response = mine.post(PAGE, {"new_email": NEW, "password": PASSWORD})

        assert response.status_code == 302
        assert not EmailChange.objects.exists()

    @pytest.mark.parametrize(
        ("state", "fate", "says"),
        [
            (State.QUEUED, None, "It leaves in a moment."),
            (State.SENT, None, "It has left."),
            (State.SENT, Fate.BOUNCED, "the mailbox does not exist"),
            (State.SENT, Fate.DELIVERED, "Your mail provider has it."),
            (State.FAILED, None, "It could not be sent."),
            (State.SUPPRESSED, None, "We cannot e-mail this address."),
        ],
    )
    def test_the_page_says_where_the_mail_is(
        self,
        mine: Client,
        change: EmailChange,
        state: str,
        fate: Fate | None,
        says: str,
    ) -> None:
        OutboxMessage.objects.update(state=state, fate=fate, sent_at=timezone.now())

        assert says in mine.get(PAGE).content.decode()


class TestNobodyLearnsWhoHasAnAccount:
    def answers(self, client: Client, address: str) -> list[bytes]:
        """Return what the person sees, without the address and the form's tokens."""
        first = client.post(PAGE, {"new_email": address, "password": PASSWORD})
        pages = [client.get(PAGE), client.post(f"{PAGE}resend/", follow=True)]
        texts = [page.content.replace(address.encode(), b"X") for page in pages]
        plain = [re.sub(rb'"[A-Za-z0-9]{64}"', b"T", text) for text in texts]
        return [str(first.status_code).encode(), first["Location"].encode(), *plain]

    @pytest.mark.parametrize("is_active", [True, False])
    def test_the_answers_are_byte_for_byte_the_same(
        self,
        mine: Client,
        outsider: User,
        is_active: bool,  # noqa: FBT001 - of the table
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        User.objects.filter(pk=outsider.pk).update(is_active=is_active)
        moment = timezone.now()
        monkeypatch.setattr(timezone, "now", lambda: moment)

        free = self.answers(mine, "olivia@larkfield.example")
        EmailChange.objects.all().delete()
        taken = self.answers(mine, outsider.email)

        assert free == taken

    def test_whoever_has_it_is_told_and_gets_no_link(
        self, requester: User, outsider: User
    ) -> None:
        ask(requester, outsider.email.upper())

        [mail] = mails_to(outsider.email)
        assert "An account with this address exists already" in text_of(mail)
        assert "Hannah Brooks (hannah@larkfield.example)" in text_of(mail)
        assert "email-changes" not in "".join(credentials.open_body(mail))
        assert (mail.kind, mail.is_secret) == ("email_change", True)


class TestTheLink:
    def test_it_changes_the_address_and_tells_the_old_one_alone(
        self, client: Client, requester: User, change: EmailChange
    ) -> None:
        response = client.post(path_of(change), follow=True)

        requester.refresh_from_db()
        assert requester.email == NEW
        assert "Sign in with it." in response.content.decode()
        [told] = OutboxMessage.objects.filter(kind="email_changed")
        assert (told.recipient, told.lane) == (OLD, Lane.SECURITY)
        assert f"from {OLD} to {NEW}" in told.text
        assert "Was it not you? Tell an admin at once" in told.text
        entry = AuditEntry.objects.get(action="changed the address to")
        assert (entry.actor, entry.target, entry.details) == (
            requester,
            NEW,
            f"from {OLD}",
        )

    def test_looking_changes_nothing_however_often(
        self, client: Client, requester: User, change: EmailChange
    ) -> None:
        for method in (client.get, client.head, client.get):
            assert method(path_of(change)).status_code == 200

        requester.refresh_from_db()
        assert requester.email == OLD
        assert EmailChange.objects.get().state == EmailChange.State.OPEN

    def test_the_button_needs_its_token(self, change: EmailChange) -> None:
        strict = Client(enforce_csrf_checks=True)

        assert strict.post(path_of(change)).status_code == 403
        assert EmailChange.objects.get().state == EmailChange.State.OPEN

    def test_the_page_shows_whose_account_it_is(
        self, client: Client, outsider: User, change: EmailChange
    ) -> None:
        client.force_login(outsider)

        page = client.get(path_of(change)).content.decode()

        assert "For the account of Hannah Brooks." in page
        assert "You are signed in as Oliver Grant" in page
        response = client.post(path_of(change), follow=True)
        assert f"Hannah Brooks signs in with {NEW}" in response.content.decode()
        outsider.refresh_from_db()
        assert outsider.email == "oliver@larkfield.example"

    def test_the_own_session_goes_on_and_all_others_end(
        self, mine: Client, requester: User, change: EmailChange
    ) -> None:
        other = Client()
        other.force_login(requester)

        page = mine.post(path_of(change), follow=True)

        assert f"Your address is {NEW} from now on." in page.content.decode()
        assert mine.get("/profile/").status_code == 200
        assert other.get("/profile/").status_code == 302

    def test_one_signs_in_with_the_new_address_at_once_and_not_with_the_old(
        self, client: Client, requester: User, change: EmailChange
    ) -> None:
        # allauth would let them in by this row
        EmailAddress.objects.create(
            user=requester, email=OLD, verified=True, primary=True
        )
        email_change.confirm(token=token(change))

        def sign_in(address: str) -> int:
            data = {"login": address, "password": PASSWORD}
            return Client().post("/accounts/login/", data).status_code

        assert sign_in(OLD) == 200
        assert sign_in(NEW) == 302

    def test_a_new_password_is_asked_for_with_the_new_address_alone(
        self, requester: User, change: EmailChange
    ) -> None:
        passwords.request_reset(email=OLD)
        [waiting] = OutboxMessage.objects.filter(kind="password_reset")
        key = ResetTokenGenerator().make_token(requester)

        email_change.confirm(token=token(change))

        waiting.refresh_from_db()
        requester.refresh_from_db()
        assert waiting.state == State.CANCELLED
        assert not ResetTokenGenerator().check_token(requester, key)
        passwords.request_reset(email=OLD)
        passwords.request_reset(email=NEW)
        resets = OutboxMessage.objects.filter(kind="password_reset")
        assert [m.recipient for m in resets.exclude(pk=waiting.pk)] == [NEW]

    def test_mail_that_waits_keeps_its_address(
        self, requester: User, change: EmailChange
    ) -> None:
        waiting = OutboxMessage.objects.create(
            kind="public_reply", recipient=OLD, subject="Re"
        )

        email_change.confirm(token=token(change))

        waiting.refresh_from_db()
        assert (waiting.recipient, waiting.state) == (OLD, State.QUEUED)

    def test_an_open_invitation_of_the_address_is_void(
        self, admin: User, requester: User
    ) -> None:
        invitation = invite(admin, NEW, Role.ADMIN)
        change = ask(requester)

        email_change.confirm(token=token(change))

        invitation.refresh_from_db()
        requester.refresh_from_db()
        assert invitation.state == Invitation.State.REVOKED
        assert requester.role == Role.REQUESTER
        with pytest.raises(InvitationClosedError):
            services.accept_invitation(
                token=token_of(invitation), name="X", password=NEW_PASSWORD
            )
        assert mails_to(NEW)[0].state == State.CANCELLED

    def test_the_history_goes_on(self, admin: User, requester: User) -> None:
        services.change_role(actor=admin, user_id=requester.pk, role=Role.AGENT)
        requester.refresh_from_db()
        email_change.confirm(token=token(ask(requester)))
        requester.refresh_from_db()
        services.change_role(actor=admin, user_id=requester.pk, role=Role.REQUESTER)

        told = [entry.action for entry in services.history_of(requester)]

        assert told == [
            "changed the role of",
            "changed the address to",
            "asked to change the address of",
            "changed the role of",
        ]

    def test_whoever_gets_an_address_after_somebody_has_not_their_history(
        self, admin: User, requester: User
    ) -> None:
        services.change_role(actor=admin, user_id=requester.pk, role=Role.AGENT)
        requester.refresh_from_db()
        email_change.confirm(token=token(ask(requester)))
        next_one = User.objects.create_user(OLD, name="Next")

        assert list(services.history_of(next_one)) == []
        services.change_role(actor=admin, user_id=next_one.pk, role=Role.AGENT)
        requester.refresh_from_db()
        assert len(list(services.history_of(next_one))) == 1
        assert len(list(services.history_of(requester))) == 3


def _use(change: EmailChange) -> None:
    email_change.confirm(token=token(change))


def _expire(change: EmailChange) -> None:
    EmailChange.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def _cancel(change: EmailChange) -> None:
    email_change.cancel(actor=change.person)


def _resend(change: EmailChange) -> None:
    email_change.resend(actor=change.person)


def _deactivate(change: EmailChange) -> None:
    admin = User.objects.create_user("boss@x.example", name="B", role=Role.ADMIN)
    services.deactivate_user(actor=admin, user_id=change.person.pk)
    services.reactivate_user(actor=admin, user_id=change.person.pk)


def _change_role(change: EmailChange) -> None:
    admin = User.objects.create_user("boss@x.example", name="B", role=Role.ADMIN)
    services.change_role(actor=admin, user_id=change.person.pk, role=Role.AGENT)


def _change_password(change: EmailChange) -> None:
    change.person.set_password(NEW_PASSWORD)
    change.person.save()
    passwords.tell_changed(person=change.person)


def _change_password_by_command(change: EmailChange) -> None:
    change.person.set_password(NEW_PASSWORD)
    change.person.save()


def _deactivate_by_hand(change: EmailChange) -> None:
    User.objects.filter(pk=change.person.pk).update(is_active=False)


def _move_by_admin(change: EmailChange) -> None:
    admin = User.objects.create_user("boss@x.example", name="B", role=Role.ADMIN)
    email_change.change_for(
        actor=admin, user_id=change.person.pk, new_email="h3@x.example"
    )


# What ends a link by a service of ours, and what by time or around them
ENDS = [
    *(_use, _cancel, _resend, _deactivate),
    *(_change_role, _change_password, _move_by_admin),
]
ENDS_BY_ITSELF = [_expire, _change_password_by_command, _deactivate_by_hand]


class TestALinkThatIsOver:
    @pytest.mark.parametrize("happens", [*ENDS, *ENDS_BY_ITSELF])
    def test_it_changes_nothing_and_says_so(
        self,
        client: Client,
        change: EmailChange,
        happens: Callable[[EmailChange], None],
    ) -> None:
        happens(change)
        before = User.objects.get(pk=change.person.pk).email

        assert client.get(path_of(change)).status_code == 410
        assert client.post(path_of(change)).status_code == 410
        with pytest.raises(EmailChangeClosedError):
            email_change.confirm(token=token(change))
        assert User.objects.get(pk=change.person.pk).email == before

    @pytest.mark.parametrize("happens", ENDS)
    def test_its_mail_leaves_no_more(
        self, change: EmailChange, happens: Callable[[EmailChange], None]
    ) -> None:
        happens(change)

        assert mails_to(NEW)[0].state == State.CANCELLED


class TestATokenThatIsNone:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda good: good[:-1],
            lambda good: good + "x",
            lambda good: good.partition(".")[0],
            lambda good: good.partition(".")[0] + ".",
            lambda good: "9" * 30 + "." + good.partition(".")[2],
            lambda good: "٣" + "." + good.partition(".")[2],
            lambda good: "." + good.partition(".")[2],
            lambda good: "0" + good.replace(".", "..", 1),
            lambda good: "999." + good.partition(".")[2],
            lambda good: "\x00",
        ],
    )
    def test_it_opens_nothing(
        self, client: Client, change: EmailChange, spoil: Callable[[str], str]
    ) -> None:
        bad = spoil(token(change))

        with pytest.raises(EmailChangeClosedError):
            email_change.confirm(token=bad)
        for method in (client.get, client.post):
            assert method(f"/email-changes/{bad}/").status_code == 404

    def test_an_empty_one(self, client: Client, change: EmailChange) -> None:
        assert email_change.find("") is None
        assert client.get("/email-changes//").status_code == 404

    def test_one_of_another_persons_change(
        self, requester: User, outsider: User
    ) -> None:
        mine, theirs = ask(requester), ask(outsider, "o@new.example")
        mixed = f"{theirs.pk}.{token(mine).partition('.')[2]}"

        with pytest.raises(EmailChangeClosedError):
            email_change.confirm(token=mixed)

    @pytest.mark.parametrize(
        "values", [{"new_email": "evil@x.example"}, {"nonce": "0" * 32}]
    )
    def test_it_is_bound_to_what_it_was_made_for(
        self, change: EmailChange, values: dict[str, str]
    ) -> None:
        good = token(change)
        EmailChange.objects.update(**values)

        assert email_change.find(good) is None

    def test_it_is_bound_to_the_person(
        self, change: EmailChange, outsider: User
    ) -> None:
        good = token(change)
        EmailChange.objects.update(person=outsider)

        assert email_change.find(good) is None

    def test_an_invitations_token_is_none(self, admin: User) -> None:
        invitation = invite(admin)

        assert email_change.find(token_of(invitation)) is None

    def test_a_former_secret_key_still_opens_it(
        self, change: EmailChange, settings: Settings
    ) -> None:
        good = token(change)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another"

        assert email_change.find(good) == change


class TestWaiting:
    def test_resend_makes_a_new_link_and_voids_the_old(
        self, mine: Client, change: EmailChange
    ) -> None:
        mine.post(f"{PAGE}resend/")

        [new] = EmailChange.objects.pending()
        assert (new.new_email, new.state) == (NEW, EmailChange.State.OPEN)
        assert token(new) != token(change)

    def test_another_address_takes_the_place(
        self, requester: User, change: EmailChange
    ) -> None:
        ask(requester, "third@x.example")

        [new] = EmailChange.objects.pending()
        assert new.new_email == "third@x.example"

    def test_cancel_keeps_the_address(self, mine: Client, change: EmailChange) -> None:
        page = mine.post(f"{PAGE}cancel/", follow=True)

        assert f"Your address stays {OLD}." in page.content.decode()
        assert EmailChange.objects.get().state == EmailChange.State.CANCELLED

    def test_with_nothing_to_resend_it_says_so(self, mine: Client) -> None:
        page = mine.post(f"{PAGE}resend/", follow=True)

        assert "You wait for no other address any more." in page.content.decode()
        assert mine.post(f"{PAGE}cancel/").status_code == 302

    def test_an_expired_one_says_so_and_can_be_resent(
        self, mine: Client, change: EmailChange
    ) -> None:
        _expire(change)

        assert "The link has expired" in mine.get(PAGE).content.decode()
        mine.post(f"{PAGE}resend/")
        assert EmailChange.objects.pending().get().state == EmailChange.State.OPEN

    def test_in_rehearsal_an_admin_is_shown_the_other_way(
        self, client: Client, admin: User
    ) -> None:
        client.force_login(admin)

        assert f"/users/{admin.pk}/email/" in client.get(PAGE).content.decode()
        SesSettings.objects.create(
            mode="live", source="server", region="eu-west-2", from_email="a@x.example"
        )
        assert f"/users/{admin.pk}/email/" not in client.get(PAGE).content.decode()


class TestTheAddressIsTakenMeanwhile:
    def test_whoever_comes_second_is_told(
        self, client: Client, requester: User, outsider: User, change: EmailChange
    ) -> None:
        other = ask(outsider, NEW)
        email_change.confirm(token=token(other))

        response = client.post(path_of(change))

        assert response.status_code == 409
        assert "belongs to another account by now" in response.content.decode()
        requester.refresh_from_db()
        assert (requester.email, requester.session_epoch) == (OLD, 0)
        assert not mails_to(OLD)

    def test_an_invitation_that_was_accepted_first_wins(
        self, admin: User, requester: User
    ) -> None:
        invitation = invite(admin, NEW)
        change = ask(requester)
        services.accept_invitation(
            token=token_of(invitation), name="New", password=NEW_PASSWORD
        )

        with pytest.raises(AddressError):
            email_change.confirm(token=token(change))


def _race(*runs: Callable[[], object]) -> list[str]:
    barrier = threading.Barrier(len(runs), timeout=10)
    outcomes: list[str] = []

    def race(run: Callable[[], object]) -> None:
        barrier.wait()
        try:
            run()
            outcomes.append("in")
        except (EmailChangeClosedError, AddressError, InvitationClosedError) as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    racers = [threading.Thread(target=race, args=[run]) for run in runs]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return sorted(outcomes, key=lambda outcome: outcome != "in")


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_of_two_who_use_one_link_one_succeeds(self) -> None:
        person = User.objects.create_user(OLD, PASSWORD, name="Hannah")
        good = token(ask(person))

        def confirm() -> object:
            return email_change.confirm(token=good)

        assert _race(confirm, confirm) == ["in", "EmailChangeClosedError"]
        assert OutboxMessage.objects.filter(kind="email_changed").count() == 1

    def test_of_two_people_who_confirm_one_address_one_gets_it(self) -> None:
        people = [User.objects.create_user(f"p{n}@x.example", name="P") for n in "12"]
        first, second = [token(ask(person, NEW)) for person in people]

        outcomes = _race(
            lambda: email_change.confirm(token=first),
            lambda: email_change.confirm(token=second),
        )

        assert outcomes == ["in", "AddressError"]
        assert User.objects.filter(email=NEW).count() == 1

    def test_accepting_an_invitation_and_confirming_make_one_account(self) -> None:
        admin = User.objects.create_user("e@x.example", name="E", role=Role.ADMIN)
        person = User.objects.create_user(OLD, name="Hannah")
        invited = token_of(invite(admin, NEW))
        good = token(ask(person))

        outcomes = _race(
            lambda: email_change.confirm(token=good),
            lambda: services.accept_invitation(
                token=invited, name="New", password=NEW_PASSWORD
            ),
        )

        assert outcomes[0] == "in"
        assert outcomes[1] in {"AddressError", "InvitationClosedError"}
        assert User.objects.filter(email=NEW).count() == 1

    def test_confirming_and_cancelling_do_one_of_both(self) -> None:
        person = User.objects.create_user(OLD, name="Hannah")
        change = ask(person)
        good = token(change)

        outcomes = _race(
            lambda: email_change.confirm(token=good),
            lambda: email_change.cancel(actor=person),
        )

        person.refresh_from_db()
        change.refresh_from_db()
        is_confirmed = change.state == EmailChange.State.CONFIRMED
        assert len(outcomes) == 2
        assert person.email == (NEW if is_confirmed else OLD)

    def test_two_who_ask_at_once_leave_one_link(self) -> None:
        person = User.objects.create_user(OLD, name="Hannah")

        assert _race(
            lambda: ask(person, "a@new.example"), lambda: ask(person, "b@new.example")
        ) == ["in", "in"]
        assert EmailChange.objects.pending().count() == 1
