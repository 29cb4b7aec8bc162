"""What each step of a rotation does. They ask AWS and change no row but by their Move.

Each may be done again after a crash: what AWS has done already is found done.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from email_settings import credentials
from email_settings.credentials import Credentials, Secret
from email_settings.gateway import iam, rights
from email_settings.gateway.errors import SendError
from email_settings.gateway.rights import is_transient
from email_settings.models import DeliveryAttempt, KeyRotation, SesSettings
from email_settings.rotation import trial, words

Step = KeyRotation.Step

# IAM tells its servers of a new or changed key within seconds.
IAM_IS_SLOW_FOR = timedelta(seconds=45)
AGAIN_SOON = timedelta(seconds=3)
AGAIN_LATER = timedelta(seconds=30)
# Longer than any call with the old key can last: it was claimed before the switch.
QUIET_FOR = timedelta(minutes=10)
LOOK_EVERY = timedelta(minutes=1)
OFF_FOR = timedelta(hours=24)
# What TicketFlow itself had on the wire, and what two clocks are apart
OWN_USE_LASTS = timedelta(minutes=5)


@dataclass(frozen=True)
class Move:
    """What a step came to: where to go, what to write, and when to look again."""

    to: KeyRotation.Step | None = None  # None stays
    wait: timedelta | None = timedelta(0)  # None waits for a person
    values: dict[str, Any] = field(default_factory=dict)
    problem: dict[str, str] = field(default_factory=dict)
    note: str = ""  # for the trail
    # Done in the transaction that writes the move; raises OvertakenError
    apply: Callable[[KeyRotation], None] | None = None


class OvertakenError(Exception):
    """The settings name another key than this rotation is about."""


def move(rotation: KeyRotation) -> Move:
    """Do the step that the rotation is at. May take a minute; in no transaction."""
    return _STEPS[KeyRotation.Step(rotation.step)](rotation)


# Which key signs


def in_use() -> Credentials:
    """Return the credentials that mail leaves with. Raises EncryptionError."""
    return credentials.read_credentials(SesSettings.load())


def new_ones(rotation: KeyRotation) -> Credentials:
    """Return those of the new key: put aside before the switch, in use after it."""
    if not rotation.new_secret_encrypted:
        return in_use()
    secret = credentials.put_aside_of(rotation, "new_secret_encrypted")
    return _with(rotation.new_key_id, secret)


def old_ones(rotation: KeyRotation) -> Credentials:
    """Return those of the old key: in use before the switch, put aside after it."""
    if not rotation.old_secret_encrypted:
        return in_use()
    secret = credentials.put_aside_of(rotation, "old_secret_encrypted")
    return _with(rotation.old_key_id, secret)


def _with(access_key_id: str, secret: Secret) -> Credentials:
    row = SesSettings.load()
    is_role = row.source == row.Source.ROLE
    return Credentials(
        access_key_id,
        secret,
        row.region,
        source=row.source,
        role_arn=row.role_arn if is_role else "",
        external_id=credentials.external_id_of(row) if is_role else "",
    )


# Towards the switch


def create(rotation: KeyRotation) -> Move:
    """Have AWS make the key; where that is not allowed, a person does."""
    if rotation.new_key_id:
        return Move(Step.TRY, values=_patience())
    signer = in_use().of_the_key
    try:
        if rotation.to_drop:
            iam.delete_key(signer, rotation.to_drop, user="")
        ids = [key.access_key_id for key in iam.list_keys(signer)]
    except SendError as error:
        return _by_hand(error) if iam.is_denied(error) else _stuck(error)
    if rotation.keys_before is None:
        # Written before the key is made: what appears after it is an orphan.
        KeyRotation.objects.filter(pk=rotation.pk).update(keys_before=ids)
        rotation.keys_before = ids
    orphans = [key_id for key_id in ids if key_id not in rotation.keys_before]
    if orphans:
        found = words.problem("orphan_key", orphan=orphans[0])
        return Move(
            wait=None, values={"to_drop": ""}, problem={**found, "key": orphans[0]}
        )
    others = [key_id for key_id in ids if key_id != rotation.old_key_id]
    if others:
        return _two_keys(rotation, others)
    return _make(rotation, signer)


def _make(rotation: KeyRotation, signer: Credentials) -> Move:
    """Have AWS make the key, and put its secret aside at once."""
    try:
        key_id, secret = iam.create_key(signer)
    except SendError as error:
        if iam.is_denied(error):
            return _by_hand(error)
        return _two_keys(rotation, []) if iam.is_one_too_many(error) else _stuck(error)
    credentials.put_aside(rotation, "new_secret_encrypted", secret)
    rotation.new_key_id = key_id
    return Move(
        Step.TRY,
        values={
            "new_key_id": key_id,
            "new_secret_encrypted": rotation.new_secret_encrypted,
            "is_ours": True,
            "to_drop": "",
            **_patience(),
        },
        note=f"AWS made the key {key_id}.",
    )


def _two_keys(rotation: KeyRotation, others: list[str]) -> Move:
    found = words.problem(
        "two_keys", others=", ".join(others) or "another", user=rotation.old_user
    )
    return Move(wait=None, problem=found)


def _by_hand(error: SendError) -> Move:
    return Move(
        Step.PASTE,
        wait=None,
        note="The key in use may not have keys made, so that a person creates it: "
        f"{error.problem.title}",
    )


def paste(rotation: KeyRotation) -> Move:
    """Wait for a person."""
    return Move(wait=None)


def try_it(rotation: KeyRotation) -> Move:
    """See whose the key is and what it may do, against the key in use."""
    new, old = new_ones(rotation), old_ones(rotation)
    try:
        who = iam.who_is(new.of_the_key)
    except SendError as error:
        return _not_yet(rotation, error)
    known = _who_is_old(old)
    if known.account_id and who.account_id != known.account_id:
        return Move(
            wait=None,
            problem=words.problem(
                "other_account",
                new_account=who.account_id,
                old_account=known.account_id,
            ),
        )
    values = {"new_user": who.user, "old_user": known.user or who.user}
    lost = []
    turns = f"{known.account_id or rotation.old_key_id}:sesv2:{new.region}"
    for action in rights.READS:
        try:
            if not _may(action, new, turns) and _may(action, old, turns):
                lost.append(action)
        except SendError as error:
            return _not_yet(rotation, error)
    if lost and "fewer_permissions" not in rotation.accepted:
        problem = words.problem("fewer_permissions", lost=", ".join(lost))
        return Move(wait=None, values=values, problem=problem)
    whose = f"of account {who.account_id}" + (f", user {who.user}" if who.user else "")
    may = "less than the old one" if lost else "what the old one may"
    note = f"The key {rotation.new_key_id} is {whose}, and may do {may}."
    return Move(Step.TEST, values=values, note=note)


def _may(action: str, signer: Credentials, turns: str) -> bool:
    """Whether the policies allow to read that. Raises SendError for any other trouble."""
    from_email = SesSettings.load().from_email
    try:
        rights.try_read(action, signer, from_email=from_email, turns=turns)
    except SendError as error:
        if error.problem.code != "access_denied":
            raise
        return False
    return True


def _not_yet(rotation: KeyRotation, error: SendError) -> Move:
    """AWS does not know the key (yet), or could not be asked."""
    if is_transient(error):
        return _stuck(error)
    is_new = rotation.retry_until and timezone.now() < rotation.retry_until
    if is_new and error.problem.code in {"key_unknown", "secret_mismatch"}:
        return Move(wait=AGAIN_SOON)
    return Move(wait=None, problem=words.problem_of(error))


def _who_is_old(old: Credentials) -> iam.Who:
    """Return whose the key in use is, as far as that can be known.

    It may be broken: perhaps that is why it is replaced.
    """
    try:
        return iam.who_is(old.of_the_key)
    except SendError:
        row = SesSettings.load()
        is_plain = row.source == row.Source.KEYS
        return iam.Who(row.account_id if is_plain else "", row.principal_arn)


def test(rotation: KeyRotation) -> Move:
    """Send a test e-mail with the new key."""
    message, error = trial.send_trial(rotation, new_ones(rotation))
    if error is None:
        note = f"Amazon SES took a test e-mail to {message.recipient} by the new key."
        return Move(Step.SWITCH, note=note)
    if is_transient(error):
        return _stuck(error)
    return Move(wait=None, problem=words.problem_of(error))


def switch(rotation: KeyRotation) -> Move:
    """Put the new key in the place of the old one."""
    last = DeliveryAttempt.objects.order_by("-pk").values_list("pk", flat=True).first()
    return Move(
        Step.WATCH,
        values={"last_attempt_id": last or 0},
        note=f"Mail leaves with the key {rotation.new_key_id} from now on.",
        apply=_take_the_new_one,
    )


def _take_the_new_one(rotation: KeyRotation) -> None:
    row = _settings_with(rotation.old_key_id)
    old = credentials.read_secret(row)
    new = credentials.put_aside_of(rotation, "new_secret_encrypted")
    credentials.put_aside(rotation, "old_secret_encrypted", old)
    rotation.new_secret_encrypted = ""
    rotation.old_key_since = row.key_since
    rotation.old_key_created_at = row.key_created_at
    rotation.switched_at = timezone.now()
    _put_in_use(row, rotation.new_key_id, new)


def _settings_with(access_key_id: str) -> SesSettings:
    row = SesSettings.load_to_change()
    if row.access_key_id != access_key_id or not row.has_key:
        raise OvertakenError
    return row


def _put_in_use(row: SesSettings, access_key_id: str, secret: Secret) -> None:
    credentials.note_key(row, access_key_id)
    credentials.store_secret(row, secret.reveal())
    # Workers make a client of the new key for the next message they claim.
    row.version += 1
    row.save()


# After the switch


def watch(rotation: KeyRotation) -> Move:
    """Wait until nothing uses the old key."""
    assert rotation.switched_at
    since = max(rotation.switched_at, _own_last_use(rotation) or rotation.switched_at)
    quiet_at = since + QUIET_FOR
    now = timezone.now()
    if now < quiet_at:
        return Move(wait=min(LOOK_EVERY, quiet_at - now))
    if "old_key_in_use" in rotation.accepted:
        return Move(Step.DISABLE, note="The old key is switched off though it is used.")
    try:
        last = iam.last_use(in_use().of_the_key, rotation.old_key_id)
    except SendError as error:
        if iam.is_denied(error) or iam.is_no_such(error):
            note = "TicketFlow does not use the old key any more. AWS does not tell "
            return Move(Step.DISABLE, note=f"{note}whether anything else does.")
        return _stuck(error)
    if last and last.at > since + OWN_USE_LASTS:
        found = words.problem(
            "old_key_in_use",
            when=f"{last.at:%d %B %H:%M} UTC",
            service=last.service,
            region=last.region,
        )
        return Move(wait=LOOK_EVERY * 10, problem=found)
    return Move(Step.DISABLE, note="Nothing uses the old key any more.")


def _own_last_use(rotation: KeyRotation) -> Any:
    """Return when TicketFlow itself last began a call with the old key."""
    later = DeliveryAttempt.objects.filter(
        pk__gt=rotation.last_attempt_id, access_key_hint=rotation.old_key_id[-4:]
    )
    if rotation.old_key_id[-4:] == rotation.new_key_id[-4:]:
        return None  # they can't be told apart
    return later.order_by("-pk").values_list("started_at", flat=True).first()


def disable(rotation: KeyRotation) -> Move:
    """Switch the old key off, or see whether a person has."""
    is_off = "The old key is off. For a day it can be switched on again."
    then = Move(Step.REST, wait=OFF_FOR, values={"off_at": timezone.now()}, note=is_off)
    try:
        iam.set_active(
            in_use().of_the_key,
            rotation.old_key_id,
            user=rotation.old_user,
            is_active=False,
        )
    except SendError as error:
        if iam.is_no_such(error):
            return then
        if not iam.is_denied(error):
            return _stuck(error)
    else:
        return then
    try:
        iam.who_is(old_ones(rotation).of_the_key)
    except SendError as error:
        return then if error.problem.code == "key_unknown" else _stuck(error)
    found = words.problem(
        "still_active", old=rotation.old_key_id, user=rotation.old_user
    )
    return Move(wait=None, problem=found)


def rest(rotation: KeyRotation) -> Move:
    """Come here when the old key has been off for a day."""
    assert rotation.off_at
    left = rotation.off_at + OFF_FOR - timezone.now()
    return Move(wait=left) if left > timedelta(0) else Move(Step.DELETE)


def delete(rotation: KeyRotation) -> Move:
    """Delete the old key, or ask a person to."""
    try:
        iam.delete_key(in_use().of_the_key, rotation.old_key_id, user=rotation.old_user)
    except SendError as error:
        if not iam.is_denied(error):
            return _stuck(error)
        found = words.problem(
            "delete_by_hand", old=rotation.old_key_id, user=rotation.old_user
        )
        return Move(wait=None, problem=found)
    return Move(Step.DONE, note=f"The key {rotation.old_key_id} is deleted.")


# Back


def back(rotation: KeyRotation) -> Move:
    """Put the old key in use again, switched on first where need be."""
    then = Move(
        Step.CLEAN,
        note=f"Mail leaves with the key {rotation.old_key_id} again.",
        apply=_take_the_old_one,
    )
    try:
        iam.who_is(old_ones(rotation).of_the_key)
    except SendError as error:
        if error.problem.code != "key_unknown":
            return _stuck(error)
    else:
        return then
    if rotation.retry_until and timezone.now() < rotation.retry_until:
        return Move(wait=AGAIN_SOON)
    try:
        iam.set_active(
            in_use().of_the_key,
            rotation.old_key_id,
            user=rotation.old_user,
            is_active=True,
        )
    except SendError as error:
        if iam.is_no_such(error):
            gone = "The old key does not exist any more: the new one stays in use."
            return Move(Step.DONE, note=gone)
        if not iam.is_denied(error):
            return _stuck(error)
        found = words.problem(
            "old_key_off", old=rotation.old_key_id, user=rotation.old_user
        )
        return Move(wait=None, problem=found)
    return Move(wait=AGAIN_SOON, values=_patience(), note="The old key is on again.")


def _take_the_old_one(rotation: KeyRotation) -> None:
    row = _settings_with(rotation.new_key_id)
    old = credentials.put_aside_of(rotation, "old_secret_encrypted")
    _put_in_use(row, rotation.old_key_id, old)
    SesSettings.objects.filter(pk=row.pk).update(
        key_since=rotation.old_key_since, key_created_at=rotation.old_key_created_at
    )
    rotation.old_secret_encrypted = ""


def clean(rotation: KeyRotation) -> Move:
    """Take out of AWS the key that TicketFlow had made."""
    if not rotation.new_key_id:
        return Move(Step.UNDONE)
    if not rotation.is_ours:
        note = f"The key {rotation.new_key_id} is still in AWS: delete it there."
        return Move(Step.UNDONE, note=note)
    if rotation.switched_at and rotation.back_wanted_at:
        quiet_at = rotation.back_wanted_at + QUIET_FOR
        if (left := quiet_at - timezone.now()) > timedelta(0):
            return Move(wait=min(left, LOOK_EVERY))
    try:
        iam.delete_key(in_use().of_the_key, rotation.new_key_id, user=rotation.new_user)
    except SendError as error:
        if not iam.is_denied(error):
            return _stuck(error)
        found = words.problem(
            "clean_by_hand", new=rotation.new_key_id, new_user=rotation.new_user
        )
        return Move(wait=None, problem=found)
    return Move(Step.UNDONE, note=f"The key {rotation.new_key_id} is deleted.")


def _stuck(error: SendError) -> Move:
    """Try again by itself where that can help; else a person has to mend something."""
    wait = AGAIN_LATER if is_transient(error) else None
    return Move(wait=wait, problem=words.problem_of(error))


def _patience() -> dict[str, Any]:
    return {"retry_until": timezone.now() + IAM_IS_SLOW_FOR}


_STEPS: dict[KeyRotation.Step, Callable[[KeyRotation], Move]] = {
    Step.CREATE: create,
    Step.PASTE: paste,
    Step.TRY: try_it,
    Step.TEST: test,
    Step.SWITCH: switch,
    Step.WATCH: watch,
    Step.DISABLE: disable,
    Step.REST: rest,
    Step.DELETE: delete,
    Step.BACK: back,
    Step.CLEAN: clean,
}
