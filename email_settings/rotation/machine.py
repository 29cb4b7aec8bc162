"""Moves a rotation on: what an admin wants is written down, and a worker does it.

One worker at a time has the rotation, by a lease; a step that a dead one left is done
again when the lease runs out.
"""

import logging
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from email_settings import credentials
from email_settings.credentials import Secret
from email_settings.delivery import hold
from email_settings.models import KeyRotation, KeyRotationEntry, SesSettings
from email_settings.nudge import nudge_worker
from email_settings.readiness import run as readiness
from email_settings.rotation import steps, words
from email_settings.rotation.steps import Move, OvertakenError
from ticketflow.errors import DomainError
from ticketflow.lib.encryption import EncryptionError

logger = logging.getLogger(__name__)

Step = KeyRotation.Step

# Longer than a step may take; so long a rotation stands still when its worker dies.
LEASE = timedelta(minutes=3)
# In one run, so that a worker's thread is given back
MOST_MOVES = 20

ENDED = (Step.DONE, Step.UNDONE, Step.OVERTAKEN)
# Where the old key is still in use
BEFORE_THE_SWITCH = (Step.CREATE, Step.PASTE, Step.TRY, Step.TEST, Step.SWITCH)
GOING_BACK = (Step.BACK, Step.CLEAN)
# Problems that a person may pass over
MAY_BE_ACCEPTED = ("fewer_permissions", "old_key_in_use")
# Steps that a person may end by hand, having done in AWS what the page says
MAY_BE_FINISHED = {Step.DELETE: Step.DONE, Step.CLEAN: Step.UNDONE}


def current() -> KeyRotation | None:
    """Return the rotation that is under way, None when there is none."""
    return (
        KeyRotation.objects.filter(is_open=True)
        .select_related("started_by", "test_message", "back_wanted_by")
        .first()
    )


# What an admin does


@transaction.atomic
def start(*, actor: AbstractBaseUser, by_hand: bool = False) -> KeyRotation:
    """Begin a rotation; with `by_hand` the admin creates the new key in AWS.

    Raises DomainError when no key is stored, or somebody was faster.
    """
    row = SesSettings.load()
    if not row.has_key or row.source == row.Source.SERVER:
        raise DomainError("There is no access key to rotate. Save one first.")
    try:
        with transaction.atomic():
            rotation = KeyRotation.objects.create(
                started_by_id=actor.pk,
                step=Step.PASTE if by_hand else Step.CREATE,
                old_key_id=row.access_key_id,
                next_at=None if by_hand else timezone.now(),
            )
    except IntegrityError:
        raise DomainError(_who_was_faster()) from None
    how = "and creates the new key in AWS" if by_hand else ""
    _note(rotation, f"Began to rotate the key {row.access_key_id} {how}".strip(), actor)
    return rotation


def _who_was_faster() -> str:
    rotation = current()
    who = rotation.started_by if rotation else None
    return f"{who or 'Somebody'} has begun to rotate the key already."


@transaction.atomic
def paste(
    *, actor: AbstractBaseUser, access_key_id: str, secret: Secret
) -> KeyRotation:
    """Take both parts of the new key. They may be pasted again until it is in use.

    Raises DomainError when the rotation is elsewhere meanwhile, EncryptionError.
    """
    rotation = _to_change(Step.PASTE, Step.TRY, Step.TEST)
    if access_key_id == rotation.old_key_id:
        raise DomainError(words.problem("same_key")["title"])
    if rotation.is_ours:
        raise DomainError("AWS has made the new key already. Cancel to use another.")
    credentials.ensure_key_file()
    credentials.put_aside(rotation, "new_secret_encrypted", secret)
    rotation.new_key_id = access_key_id
    rotation.accepted = []
    rotation.retry_until = timezone.now() + steps.IAM_IS_SLOW_FOR
    _go_on(rotation, Step.TRY)
    _note(rotation, f"Pasted the key {access_key_id}", actor)
    return rotation


@transaction.atomic
def try_again(*, actor: AbstractBaseUser) -> KeyRotation:
    """Do the step again that waits for a person: something was mended in AWS.

    Raises DomainError when nothing waits.
    """
    rotation = _to_change()
    if not rotation.problem:
        raise DomainError(MOVED_ON)
    _go_on(rotation)
    return rotation


@transaction.atomic
def accept(*, actor: AbstractBaseUser, code: str) -> KeyRotation:
    """Go on in spite of the problem with that code. Raises DomainError."""
    rotation = _to_change()
    if code not in MAY_BE_ACCEPTED or rotation.problem.get("code") != code:
        raise DomainError(MOVED_ON)
    rotation.accepted = [*rotation.accepted, code]
    _note(rotation, f"Went on although: {rotation.problem['title']}", actor)
    _go_on(rotation)
    return rotation


@transaction.atomic
def drop_orphan(*, actor: AbstractBaseUser, access_key_id: str) -> KeyRotation:
    """Have the key deleted that nobody knows the secret of. Raises DomainError."""
    rotation = _to_change(Step.CREATE)
    problem = rotation.problem
    if problem.get("code") != "orphan_key" or problem.get("key") != access_key_id:
        raise DomainError(MOVED_ON)
    rotation.to_drop = access_key_id
    _note(rotation, f"Has the key {access_key_id} deleted", actor)
    _go_on(rotation)
    return rotation


@transaction.atomic
def finish(*, actor: AbstractBaseUser) -> KeyRotation:
    """End the rotation: a person has done in AWS what was left. Raises DomainError."""
    rotation = _to_change(*MAY_BE_FINISHED)
    if not rotation.problem:
        raise DomainError(MOVED_ON)
    _note(rotation, "Finished: the rest was done in AWS", actor)
    _end(rotation, MAY_BE_FINISHED[Step(rotation.step)])
    return rotation


@transaction.atomic
def go_back(*, actor: AbstractBaseUser) -> KeyRotation:
    """Have the old key in use again, or keep it in use. Raises DomainError.

    Whatever a worker does just now, it goes back after that.
    """
    rotation = KeyRotation.objects.select_for_update().filter(is_open=True).first()
    if rotation is None or rotation.step in GOING_BACK or rotation.back_wanted_at:
        raise DomainError(MOVED_ON)
    rotation.back_wanted_at = rotation.next_at = timezone.now()
    rotation.back_wanted_by_id = actor.pk
    rotation.save(update_fields=["back_wanted_at", "back_wanted_by", "next_at"])
    what = "Wants to cancel" if rotation.switched_at is None else "Wants the old key"
    _note(rotation, what if "cancel" in what else f"{what} back", actor)
    return rotation


@transaction.atomic
def keep_new(*, actor: AbstractBaseUser) -> KeyRotation:
    """Stay with the new key after all: going back can't be done. Raises DomainError."""
    rotation = _to_change(Step.BACK)
    if not rotation.problem:
        raise DomainError(MOVED_ON)
    rotation.back_wanted_at = rotation.back_wanted_by = None
    _note(rotation, "Keeps the new key", actor)
    _go_on(rotation, Step.DISABLE)
    return rotation


MOVED_ON = "The rotation has moved on meanwhile. Look at it again."
BUSY = "TicketFlow works on this step just now. Try again in a moment."


def _to_change(*at: KeyRotation.Step) -> KeyRotation:
    """Return the open rotation, locked, if it is at one of the steps and nobody's."""
    rotation = KeyRotation.objects.select_for_update().filter(is_open=True).first()
    if rotation is None or (at and rotation.step not in at):
        raise DomainError(MOVED_ON)
    if rotation.lease_until and rotation.lease_until > timezone.now():
        raise DomainError(BUSY)
    return rotation


def _go_on(rotation: KeyRotation, to: KeyRotation.Step | None = None) -> None:
    rotation.step = to or rotation.step
    rotation.problem = {}
    rotation.next_at = timezone.now()
    rotation.save()


# What a worker does


def advance() -> bool:
    """Do what is due of the rotation, and return whether anything was.

    For the schedule of a worker. Not in a transaction.
    """
    moves = 0
    while moves < MOST_MOVES and (rotation := _claim()):
        _write(rotation, _next(rotation))
        moves += 1
    return moves > 0


def _claim() -> KeyRotation | None:
    """Lease the rotation to this worker when something is due."""
    now = timezone.now()
    due = KeyRotation.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=now), is_open=True, next_at__lte=now
    )
    token = uuid.uuid4().hex
    # The conditional update decides between the workers.
    if not due.exists() or not due.update(claim_token=token, lease_until=now + LEASE):
        return None
    return KeyRotation.objects.select_related("started_by", "test_message").get(
        claim_token=token
    )


def _next(rotation: KeyRotation) -> Move:
    """Return what follows now. Never raises what AWS or a key file can cause."""
    if _is_overtaken(rotation):
        return Move(Step.OVERTAKEN)
    if rotation.back_wanted_at and rotation.step not in GOING_BACK:
        # Patience is for what is done from now on.
        to = Step.BACK if rotation.switched_at else Step.CLEAN
        return Move(to, values={"retry_until": None})
    try:
        return steps.move(rotation)
    except EncryptionError as error:
        return Move(
            wait=steps.AGAIN_LATER,
            problem=words.problem("secret_unreadable", why=str(error)),
        )


def _is_overtaken(rotation: KeyRotation) -> bool:
    """Whether the settings name a key that this rotation does not put there."""
    is_new = rotation.switched_at is not None and rotation.step != Step.CLEAN
    row = SesSettings.load()
    wanted = rotation.new_key_id if is_new else rotation.old_key_id
    return not row.has_key or row.access_key_id != wanted


def _write(leased: KeyRotation, move: Move) -> None:
    """Write a move, unless the lease ran out and another worker has the rotation."""
    with transaction.atomic():
        rotation = (
            KeyRotation.objects.select_for_update()
            .filter(pk=leased.pk, claim_token=leased.claim_token)
            .first()
        )
        if rotation is None:
            logger.warning("rotation: a step took longer than its lease")
            return
        for name, value in move.values.items():
            setattr(rotation, name, value)
        rotation.claim_token, rotation.lease_until = "", None
        to = move.to
        try:
            if move.apply and not (to == Step.WATCH and rotation.back_wanted_at):
                with transaction.atomic():
                    move.apply(rotation)
            elif move.apply:
                to = Step.CLEAN
        except OvertakenError:
            to = Step.OVERTAKEN
        if move.note and to == move.to:
            _note(rotation, move.note)
        _take(rotation, move, to)
    _after(rotation, to)


def _take(rotation: KeyRotation, move: Move, to: KeyRotation.Step | None) -> None:
    if to in ENDED:
        _end(rotation, to)
        return
    rotation.step = to or rotation.step
    rotation.problem = move.problem
    now = timezone.now()
    rotation.next_at = now + move.wait if move.wait is not None else None
    if rotation.back_wanted_at and rotation.step not in GOING_BACK:
        rotation.next_at = now
    rotation.save()


def _after(rotation: KeyRotation, to: KeyRotation.Step | None) -> None:
    """Let mail go that waited for a key that works: a test has just been taken."""
    logger.info("rotation: at %s", rotation.step)
    if to == Step.WATCH or (to == Step.CLEAN and rotation.switched_at):
        # What the checklist says, it says of another key.
        readiness.want_all()
    if to == Step.WATCH and SesSettings.load().hold_code:
        hold.lift()
        nudge_worker()


def _end(rotation: KeyRotation, how: KeyRotation.Step) -> None:
    """End it and wipe what it kept."""
    if how == Step.OVERTAKEN:
        text = "Ended: another key was saved in Email Settings meanwhile."
        if rotation.is_ours:
            text += f" The key {rotation.new_key_id} may still be in AWS."
        _note(rotation, text)
    rotation.step = how
    rotation.is_open = False
    rotation.ended_at = timezone.now()
    rotation.next_at = None
    rotation.problem = {}
    rotation.old_secret_encrypted = rotation.new_secret_encrypted = ""
    rotation.claim_token, rotation.lease_until = "", None
    rotation.save()


def _note(
    rotation: KeyRotation, text: str, actor: AbstractBaseUser | None = None
) -> None:
    KeyRotationEntry.objects.create(
        rotation=rotation, text=text[:500], actor_id=actor.pk if actor else None
    )


def last_ended() -> KeyRotation | None:
    """Return the rotation that ended last."""
    return (
        KeyRotation.objects.filter(is_open=False)
        .select_related("started_by")
        .order_by("-ended_at")
        .first()
    )


def trail(rotation: KeyRotation) -> Iterable[Any]:
    """Return who did what, the oldest first."""
    return rotation.entries.select_related("actor")
