"""A new access key in the place of the old one, over HTTP against the stand-in for AWS."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import F
from django.utils import timezone

from email_settings import credentials, keys
from email_settings.credentials import Secret
from email_settings.delivery import hold
from email_settings.delivery.pump import Pump
from email_settings.gateway import iam, turns
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import (
    DeliveryAttempt,
    KeyRotation,
    OutboxMessage,
    ReadinessLine,
    SesSettings,
)
from email_settings.rotation import machine, steps, trial
from email_settings.standin.account import Account, Identity, Key
from email_settings.standin.server import running
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)
from ticketflow.errors import DomainError
from ticketflow.lib import encryption

pytestmark = pytest.mark.django_db(transaction=True)

Step = KeyRotation.Step
SENDING = frozenset({"ses:SendEmail", "ses:SendRawEmail"})
READING = SENDING | {"ses:GetAccount", "ses:GetEmailIdentity"}
NEW_KEY_ID, NEW_SECRET = (
    "AKIAI44QH8DHBEXAMPLE",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
)


@dataclass
class Desk:
    """AWS, and an admin who rotates the key."""

    account: Account
    admin: AbstractBaseUser

    @property
    def key(self) -> Key:
        return self.account.keys[ACCESS_KEY_ID]

    def start(self, *, by_hand: bool = False) -> KeyRotation:
        return machine.start(actor=self.admin, by_hand=by_hand)

    def paste(self, key_id: str = NEW_KEY_ID, secret: str = NEW_SECRET) -> KeyRotation:
        return machine.paste(
            actor=self.admin, access_key_id=key_id, secret=Secret(secret)
        )

    def add_second_key(self, **changes: object) -> Key:
        """What the admin does in the AWS console."""
        values = {"actions": self.key.actions, **changes}
        return self.account.add_key(NEW_KEY_ID, NEW_SECRET, **values)

    def until(self, step: str) -> KeyRotation:
        """Start it if need be, and let all waits pass until it is at that step."""
        if not KeyRotation.objects.exists():
            self.start()
        for _ in range(30):
            machine.advance()
            if now().step == step:
                return now()
            assert not now().problem, now().problem
            self.time_passes()
        raise AssertionError(f"It stays at {now().step}.")

    def time_passes(self, **much: float) -> None:
        """Move what has happened into the past: by a day, unless told otherwise."""
        passed = timedelta(**much) if much else timedelta(days=1, seconds=1)
        found = now()
        for name in (
            "next_at",
            "switched_at",
            "off_at",
            "retry_until",
            "back_wanted_at",
            "lease_until",
        ):
            if moment := getattr(found, name):
                setattr(found, name, moment - passed)
        found.save()
        DeliveryAttempt.objects.update(started_at=F("started_at") - passed)
        for key in self.account.keys.values():
            if key.last_used:
                key.last_used = (key.last_used[0] - passed, *key.last_used[1:])


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, admin: Any) -> Iterator[Desk]:
    monkeypatch.setattr(turns, "APART", timedelta(milliseconds=1))
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        make_settings()
        yield Desk(account, admin)


def now() -> KeyRotation:
    return KeyRotation.objects.get()


def stored() -> tuple[str, str]:
    row = SesSettings.load()
    return row.access_key_id, credentials.read_secret(row).reveal()


def texts() -> str:
    return "\n".join(entry.text for entry in machine.trail(now()))


def send_one() -> OutboxMessage:
    message = make_message()
    Pump().run()
    message.refresh_from_db()
    return message


def hint_of(message: OutboxMessage) -> str:
    return message.attempt_set.get().access_key_hint


# All by itself


def test_it_rotates_all_by_itself_and_mail_flows_all_the_while(desk: Desk) -> None:
    before = SesSettings.load().version
    assert hint_of(send_one()) == ACCESS_KEY_ID[-4:]
    found = desk.until(Step.WATCH)
    new_id = found.new_key_id
    assert desk.account.keys[new_id].user == desk.key.user
    assert stored() == (new_id, desk.account.keys[new_id].secret)
    assert SesSettings.load().version == before + 1
    assert hint_of(send_one()) == new_id[-4:]
    assert desk.key.is_active
    assert ReadinessLine.objects.filter(wanted_at__isnull=False).exists()

    desk.time_passes(minutes=11)
    desk.until(Step.REST)
    assert not desk.key.is_active
    assert now().off_at is not None
    machine.advance()
    assert now().step == Step.REST

    found = desk.until(Step.DONE)
    assert ACCESS_KEY_ID not in desk.account.keys
    assert not found.is_open
    assert found.old_secret_encrypted == found.new_secret_encrypted == ""
    assert hint_of(send_one()) == new_id[-4:]
    assert "Began to rotate the key" in texts()
    assert f"The key {ACCESS_KEY_ID} is deleted." in texts()
    first = machine.trail(found)[0]
    assert first.actor == desk.admin


def test_the_test_is_the_only_mail_of_the_new_key_before_the_switch(
    desk: Desk,
) -> None:
    found = desk.until(Step.WATCH)
    [mail] = desk.account.mails
    assert mail.recipients == (desk.admin.get_username(),)
    message = OutboxMessage.objects.get(kind=trial.KIND)
    assert message.state == OutboxMessage.State.SENT
    assert hint_of(message) == found.new_key_id[-4:]
    assert mail.tags["tf-msg"] == message.uid.hex


def test_the_test_goes_to_the_simulator_in_the_sandbox(desk: Desk) -> None:
    desk.account.region("eu-west-1").is_production = False
    SesSettings.objects.update(is_sandbox=True)
    desk.until(Step.WATCH)
    assert desk.account.mails[0].recipients == (trial.SIMULATOR,)


def test_a_brand_new_key_that_iam_does_not_know_yet_is_tried_again(desk: Desk) -> None:
    desk.account.new_keys_take = timedelta(hours=1)
    desk.start()
    machine.advance()
    found = now()
    assert (found.step, found.problem) == (Step.TRY, {})
    assert found.next_at is not None
    desk.account.keys[found.new_key_id].works_from = None
    desk.time_passes(seconds=5)
    desk.until(Step.WATCH)


def test_a_key_that_stays_unknown_is_said_after_a_while(desk: Desk) -> None:
    desk.account.new_keys_take = timedelta(days=9)
    desk.start()
    machine.advance()
    desk.time_passes(minutes=1)
    machine.advance()
    found = now()
    assert found.problem["code"] == "key_unknown"
    assert found.next_at is None
    assert stored() == (ACCESS_KEY_ID, SECRET)


def test_what_another_program_still_uses_is_not_switched_off(desk: Desk) -> None:
    desk.until(Step.WATCH)
    desk.time_passes(minutes=11)
    desk.key.last_used = (timezone.now(), "s3", "eu-west-1")
    machine.advance()
    found = now()
    assert (found.step, found.problem["code"]) == (Step.WATCH, "old_key_in_use")
    assert "for s3 in eu-west-1" in found.problem["why"]
    assert desk.key.is_active
    machine.accept(actor=desk.admin, code="old_key_in_use")
    machine.advance()
    assert not desk.key.is_active
    assert "Went on although" in texts()


def test_what_ticketflow_itself_still_uses_is_not_switched_off(desk: Desk) -> None:
    desk.until(Step.WATCH)
    desk.time_passes(minutes=11)
    # A worker with the old settings, say because it was frozen.
    message = make_message()
    DeliveryAttempt.objects.create(
        message=message, number=1, access_key_hint=ACCESS_KEY_ID[-4:]
    )
    machine.advance()
    assert (now().step, now().problem) == (Step.WATCH, {})
    assert desk.key.is_active


# With the hands of an admin


def by_hand(desk: Desk) -> None:
    """Let the key do nothing but send and read."""
    desk.key.actions = READING


def test_it_is_guided_where_the_key_may_do_nothing_in_iam(desk: Desk) -> None:
    by_hand(desk)
    desk.start()
    machine.advance()
    assert now().step == Step.PASTE
    assert "may not have keys made" in texts()
    desk.add_second_key()
    desk.paste()
    desk.until(Step.WATCH)
    assert stored() == (NEW_KEY_ID, NEW_SECRET)
    desk.time_passes(minutes=11)
    machine.advance()
    found = now()
    assert (found.step, found.problem["code"]) == (Step.DISABLE, "still_active")
    assert ACCESS_KEY_ID in found.problem["fix"]
    # Pressed too early.
    machine.try_again(actor=desk.admin)
    machine.advance()
    assert now().problem["code"] == "still_active"
    desk.key.is_active = False
    machine.try_again(actor=desk.admin)
    machine.advance()
    assert (now().step, now().problem) == (Step.REST, {})
    desk.time_passes()
    machine.advance()
    assert (now().step, now().problem["code"]) == (Step.DELETE, "delete_by_hand")
    machine.finish(actor=desk.admin)
    found = now()
    assert (found.step, found.old_secret_encrypted) == (Step.DONE, "")


def test_one_may_create_the_key_oneself_though_the_key_could(desk: Desk) -> None:
    desk.start(by_hand=True)
    assert not machine.advance()
    desk.add_second_key()
    desk.paste()
    desk.until(Step.WATCH)
    assert not desk.account.calls_of("iam:CreateAccessKey")


def pasted(desk: Desk, **changes: object) -> KeyRotation:
    desk.start(by_hand=True)
    desk.add_second_key(**changes)
    desk.paste()
    machine.advance()
    return now()


def stays_as_it_was(desk: Desk, code: str) -> None:
    found = now()
    assert found.problem["code"] == code
    assert stored() == (ACCESS_KEY_ID, SECRET)
    assert not found.switched_at


def test_a_key_of_another_account_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = iam.who_is

    def who_is(signer: credentials.Credentials) -> iam.Who:
        known = ask(signer)
        is_new = signer.access_key_id == NEW_KEY_ID
        return iam.Who("999999999999", known.arn) if is_new else known

    monkeypatch.setattr(iam, "who_is", who_is)
    pasted(desk)
    stays_as_it_was(desk, "other_account")
    assert "999999999999" in now().problem["why"]
    with pytest.raises(DomainError):
        machine.accept(actor=desk.admin, code="other_account")
    assert not desk.account.mails


def test_an_inactive_key_is_refused(desk: Desk) -> None:
    pasted(desk, is_active=False)
    desk.time_passes(minutes=1)
    machine.advance()
    stays_as_it_was(desk, "key_unknown")


def test_a_wrong_secret_is_refused_and_the_right_one_can_be_pasted(desk: Desk) -> None:
    desk.start(by_hand=True)
    desk.add_second_key()
    desk.paste(secret="x" * 40)
    machine.advance()
    desk.time_passes(minutes=1)
    machine.advance()
    stays_as_it_was(desk, "secret_mismatch")
    desk.paste()
    desk.until(Step.WATCH)


def test_fewer_permissions_stop_it_until_that_is_accepted(desk: Desk) -> None:
    pasted(desk, actions=SENDING)
    stays_as_it_was(desk, "fewer_permissions")
    assert "ses:GetAccount, ses:GetEmailIdentity" in now().problem["why"]
    machine.accept(actor=desk.admin, code="fewer_permissions")
    desk.until(Step.WATCH)


def test_rights_that_the_old_key_lacks_too_are_not_missed(desk: Desk) -> None:
    desk.key.actions = SENDING
    pasted(desk)
    desk.until(Step.WATCH)


def test_a_key_that_may_not_send_is_refused_by_its_test(desk: Desk) -> None:
    pasted(desk, actions=READING - SENDING)
    stays_as_it_was(desk, "access_denied")
    assert now().step == Step.TEST
    row = SesSettings.load()
    # It is the new key that is on trial: no other mail suffers.
    assert row.hold_code == ""
    message = OutboxMessage.objects.get(kind=trial.KIND)
    assert message.state == OutboxMessage.State.FAILED
    assert hint_of(send_one()) == ACCESS_KEY_ID[-4:]


def test_the_key_in_use_is_no_new_key(desk: Desk) -> None:
    desk.start(by_hand=True)
    with pytest.raises(DomainError, match="in use"):
        desk.paste(ACCESS_KEY_ID, SECRET)


def test_a_broken_key_can_be_rotated_and_frees_the_mail_it_held(desk: Desk) -> None:
    desk.start(by_hand=True)
    desk.add_second_key()
    desk.key.is_active = False
    held = send_one()
    assert held.state == OutboxMessage.State.HELD
    SesSettings.objects.update(account_id="123456789012")
    desk.paste()
    desk.until(Step.WATCH)
    assert SesSettings.load().hold_code == ""
    Pump().run()
    held.refresh_from_db()
    assert held.state == OutboxMessage.State.SENT


# Two keys


def test_a_second_key_in_the_way_is_named(desk: Desk) -> None:
    desk.add_second_key()
    desk.start()
    machine.advance()
    stays_as_it_was(desk, "two_keys")
    assert NEW_KEY_ID in now().problem["why"]
    del desk.account.keys[NEW_KEY_ID]
    machine.try_again(actor=desk.admin)
    desk.until(Step.WATCH)


def killed_after(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, *, first: bool = True
) -> None:
    """End the worker just after the call: as kill -9 does, nothing more is written."""
    call = getattr(module, name)

    def then_die(*arguments: object, **options: object) -> None:
        call(*arguments, **options)
        monkeypatch.setattr(module, name, call)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, then_die)


def die(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    killed_after(monkeypatch, module, name)
    with pytest.raises(KeyboardInterrupt):
        machine.advance()


def test_killed_between_making_the_key_and_storing_it_leaves_a_named_orphan(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.start()
    die(monkeypatch, iam, "create_key")
    [orphan] = [k for k in desk.account.keys if k != ACCESS_KEY_ID]
    assert not machine.advance()  # its lease has not run out
    desk.time_passes(minutes=4)
    machine.advance()
    stays_as_it_was(desk, "orphan_key")
    assert orphan in now().problem["title"]
    with pytest.raises(DomainError):
        machine.drop_orphan(actor=desk.admin, access_key_id=ACCESS_KEY_ID)
    assert ACCESS_KEY_ID in desk.account.keys
    machine.drop_orphan(actor=desk.admin, access_key_id=orphan)
    found = desk.until(Step.WATCH)
    assert orphan not in desk.account.keys
    assert set(desk.account.keys) == {ACCESS_KEY_ID, found.new_key_id}
    assert f"Has the key {orphan} deleted" in texts()


@pytest.mark.parametrize(
    ("step", "module", "name"),
    [
        (Step.TRY, iam, "who_is"),
        (Step.TEST, trial, "send"),
        (Step.SWITCH, steps, "_put_in_use"),
        (Step.DISABLE, iam, "set_active"),
        (Step.DELETE, iam, "delete_key"),
    ],
)
def test_killed_in_the_middle_of_a_step_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, module: object, name: str
) -> None:
    desk.start()
    found = None
    killed_after(monkeypatch, module, name)
    for _ in range(20):
        try:
            machine.advance()
        except KeyboardInterrupt:
            found = now()
            assert found.step == step
            assert stored()[0] in {ACCESS_KEY_ID, found.new_key_id}
        desk.time_passes()
    assert found is not None
    assert now().step == Step.DONE
    assert set(desk.account.keys) == {now().new_key_id}
    assert stored() == (now().new_key_id, desk.account.keys[now().new_key_id].secret)


def test_a_test_that_was_interrupted_before_the_call_never_leaves_with_the_old_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.start()
    die(monkeypatch, trial, "_lease")
    [left] = OutboxMessage.objects.filter(kind=trial.KIND)
    # Its journal says that the call was never made, so that it is queued again.
    OutboxMessage.objects.filter(pk=left.pk).update(
        state="queued", claim_token="", lease_until=None
    )
    desk.time_passes(minutes=4)
    desk.until(Step.WATCH)
    left.refresh_from_db()
    assert left.state == OutboxMessage.State.CANCELLED


# Back


@pytest.mark.parametrize("step", [Step.WATCH, Step.REST, Step.DELETE])
def test_one_click_brings_the_old_key_back(desk: Desk, step: str) -> None:
    if step == Step.DELETE:
        desk.key.actions = desk.account.keys[ACCESS_KEY_ID].actions = READING | {
            "iam:CreateAccessKey",
            "iam:ListAccessKeys",
            "iam:UpdateAccessKey",
        }
        desk.until(Step.REST)
        desk.time_passes()
        machine.advance()
        assert now().problem["code"] == "delete_by_hand"
    else:
        desk.until(step)
    new_id, version = now().new_key_id, SesSettings.load().version
    machine.go_back(actor=desk.admin)
    machine.advance()
    desk.time_passes(minutes=1)
    machine.advance()
    assert stored() == (ACCESS_KEY_ID, SECRET)
    assert SesSettings.load().version > version
    assert desk.key.is_active
    assert hint_of(send_one()) == ACCESS_KEY_ID[-4:]
    assert now().step == Step.CLEAN
    desk.time_passes(minutes=11)
    machine.advance()
    if step == Step.DELETE:
        assert now().problem["code"] == "clean_by_hand"
        machine.finish(actor=desk.admin)
    else:
        assert new_id not in desk.account.keys
    found = now()
    assert (found.step, found.is_open) == (Step.UNDONE, False)
    assert found.old_secret_encrypted == found.new_secret_encrypted == ""
    assert "Wants the old key back" in texts()


@pytest.mark.parametrize("step", [Step.CREATE, Step.TRY, Step.TEST, Step.SWITCH])
def test_before_the_switch_it_is_cancelled_and_the_new_key_deleted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(machine, "MOST_MOVES", 1)
    desk.start()
    while now().step != step:
        machine.advance()
    machine.go_back(actor=desk.admin)
    for _ in range(3):
        machine.advance()
    found = now()
    assert (found.step, found.new_secret_encrypted) == (Step.UNDONE, "")
    assert set(desk.account.keys) == {ACCESS_KEY_ID}
    assert stored() == (ACCESS_KEY_ID, SECRET)
    assert not found.switched_at


def test_going_back_while_the_key_is_being_made_deletes_what_was_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.start()
    create = iam.create_key

    def press_cancel_meanwhile(signer: credentials.Credentials) -> tuple[str, Secret]:
        made = create(signer)
        machine.go_back(actor=desk.admin)
        return made

    monkeypatch.setattr(iam, "create_key", press_cancel_meanwhile)
    machine.advance()
    assert now().step == Step.UNDONE
    assert set(desk.account.keys) == {ACCESS_KEY_ID}


def test_going_back_in_the_moment_of_the_switch_does_not_switch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = steps._STEPS[Step.SWITCH]

    def press_cancel_meanwhile(rotation: KeyRotation) -> steps.Move:
        found = switch(rotation)
        machine.go_back(actor=desk.admin)
        return found

    monkeypatch.setitem(steps._STEPS, Step.SWITCH, press_cancel_meanwhile)
    found = desk.until(Step.UNDONE)
    assert stored() == (ACCESS_KEY_ID, SECRET)
    assert found.switched_at is None


def test_an_old_key_that_is_off_and_may_not_be_activated_is_said(desk: Desk) -> None:
    by_hand(desk)
    pasted(desk)
    desk.until(Step.WATCH)
    desk.key.is_active = False
    machine.go_back(actor=desk.admin)
    machine.advance()
    found = now()
    assert (found.step, found.problem["code"]) == (Step.BACK, "old_key_off")
    assert stored() == (NEW_KEY_ID, NEW_SECRET)  # mail leaves meanwhile
    desk.key.is_active = True
    machine.try_again(actor=desk.admin)
    machine.advance()
    assert stored() == (ACCESS_KEY_ID, SECRET)
    assert now().step == Step.UNDONE
    assert f"The key {NEW_KEY_ID} is still in AWS" in texts()


def test_one_may_stay_with_the_new_key_when_there_is_no_way_back(desk: Desk) -> None:
    by_hand(desk)
    pasted(desk)
    desk.until(Step.WATCH)
    desk.key.is_active = False
    machine.go_back(actor=desk.admin)
    machine.advance()
    machine.keep_new(actor=desk.admin)
    machine.advance()
    assert now().step == Step.REST
    assert stored() == (NEW_KEY_ID, NEW_SECRET)


# Others


def test_two_admins_at_once_start_one_rotation(desk: Desk, agent: Any) -> None:
    desk.start()
    with pytest.raises(DomainError, match="has begun to rotate the key already"):
        machine.start(actor=agent)
    assert KeyRotation.objects.count() == 1


def test_two_workers_do_each_step_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.start()
    create = iam.create_key

    def while_another_looks(signer: credentials.Credentials) -> tuple[str, Secret]:
        monkeypatch.setattr(iam, "create_key", create)
        assert not machine.advance()
        return create(signer)

    monkeypatch.setattr(iam, "create_key", while_another_looks)
    desk.until(Step.WATCH)
    assert len(desk.account.calls_of("iam:CreateAccessKey")) == 1


def test_a_person_does_not_get_in_the_way_of_a_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pasted(desk, is_active=False)
    KeyRotation.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(DomainError, match="just now"):
        desk.paste()


def test_a_key_saved_meanwhile_in_the_form_ends_the_rotation(desk: Desk) -> None:
    desk.until(Step.WATCH)
    row = SesSettings.load()
    row.access_key_id = "AKIAOTHEROTHEROTHER1"
    credentials.store_secret(row, NEW_SECRET)
    row.save()
    desk.time_passes(minutes=2)
    machine.advance()
    found = now()
    assert (found.step, found.is_open) == (Step.OVERTAKEN, False)
    assert found.old_secret_encrypted == ""
    assert stored()[0] == "AKIAOTHEROTHEROTHER1"
    assert desk.key.is_active


def test_aws_out_of_reach_is_tried_again_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.start()

    def fail(signer: credentials.Credentials) -> list[iam.KeyOfUser]:
        raise SendError(problem_for("cannot_connect"))

    with monkeypatch.context() as patched:
        patched.setattr(iam, "list_keys", fail)
        machine.advance()
    found = now()
    assert (found.problem["code"], bool(found.next_at)) == ("cannot_connect", True)
    desk.time_passes(minutes=1)
    KeyRotation.objects.update(problem={})
    desk.until(Step.WATCH)


def test_without_a_stored_key_there_is_nothing_to_rotate(desk: Desk) -> None:
    SesSettings.objects.update(secret_access_key_encrypted="", access_key_id="")
    with pytest.raises(DomainError, match="no access key to rotate"):
        desk.start()


# Secrets


def test_secrets_are_stored_encrypted_and_come_under_a_new_encryption_key(
    desk: Desk,
) -> None:
    found = desk.until(Step.WATCH)
    assert SECRET not in str(KeyRotation.objects.values())
    before = found.old_secret_encrypted
    encryption.add_key(before=encryption.current_key_id())
    assert keys.reseal_all().done == 2  # that of the settings, and the old one
    assert now().old_secret_encrypted != before
    assert steps.old_ones(now()).secret.reveal() == SECRET
    assert sum(use.total for use in keys.uses().values()) == 2


def test_a_secret_that_was_put_aside_is_of_no_use_in_another_field(desk: Desk) -> None:
    found = desk.until(Step.WATCH)
    found.new_secret_encrypted = found.old_secret_encrypted
    with pytest.raises(encryption.TamperedError):
        credentials.put_aside_of(found, "new_secret_encrypted")


def test_a_lost_key_file_stops_it_and_changes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = desk.until(Step.WATCH)
    broken = found.old_secret_encrypted[:-8] + "AAAAAAA="
    KeyRotation.objects.update(old_secret_encrypted=broken)
    machine.go_back(actor=desk.admin)
    machine.advance()
    assert now().problem["code"] == "secret_unreadable"
    assert stored()[0] == found.new_key_id


# A role


def test_the_key_that_assumes_a_role_is_rotated(desk: Desk) -> None:
    role = desk.account.add_role("mail", external_id="ticketflow-1")
    SesSettings.objects.update(
        source="role", role_arn=role.arn, external_id="ticketflow-1"
    )
    found = desk.until(Step.WATCH)
    assert hint_of(send_one()) == found.new_key_id[-4:]


def test_hold_by_a_new_problem_after_the_switch_is_of_the_new_key(desk: Desk) -> None:
    row = SesSettings.load()
    desk.until(Step.WATCH)
    hold.hold_all(SendError(problem_for("key_unknown")), version=row.version)
    assert SesSettings.load().hold_code == ""
