"""Hands one claimed message to the gateway. Runs in a slot; touches no database."""

import logging
import threading
from collections.abc import Callable

from email_settings import credentials, mime
from email_settings.delivery.claim import Claim
from email_settings.delivery.journal import Journal
from email_settings.delivery.settle import Outcome
from email_settings.gateway.base import Gateway, Outgoing
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import SesSettings
from email_settings.pacing import Pace
from ticketflow.lib.encryption import EncryptionError, TamperedError

logger = logging.getLogger(__name__)

ChooseGateway = Callable[[SesSettings], Gateway]


def send(
    claim: Claim,
    *,
    journal: Journal,
    choose_gateway: ChooseGateway,
    pace: Pace,
    stopping: threading.Event,
    started: Callable[[], None],
    is_called_off: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Send it when its turn comes and return what became of it. Never raises.

    Not when it is called off meanwhile. `started` is called when it stops waiting for
    its turn, whatever the reason. The journal is told before and after the call.
    """
    may_have_left = False
    try:
        try:
            _see_that_it_is_on(is_called_off)
            gateway = choose_gateway(claim.sender)
            outgoing = _outgoing(claim)
            _wait_for_turn(claim, pace, stopping)
            _see_that_it_is_on(is_called_off)
        finally:
            started()
        _note_start(claim, journal)
        may_have_left = True
        ses_message_id = gateway.send(outgoing)
        journal.accepted(claim.attempt.uid, ses_message_id)
        return Outcome(claim, ses_message_id=ses_message_id)
    except SendError as error:
        return Outcome(claim, error=error)
    except Exception as error:
        # The outermost loop of a slot: a bug must cost one message, not the thread.
        logger.exception("outbox: message %s could not be sent", claim.message.uid)
        code = "no_answer" if may_have_left else "sender_failed"
        return Outcome(claim, error=_ours(code, error))


def _see_that_it_is_on(is_called_off: Callable[[], bool]) -> None:
    if is_called_off():
        raise SendError(problem_for("called_off"))


def _wait_for_turn(claim: Claim, pace: Pace, stopping: threading.Event) -> None:
    if not pace.take(stopping, seconds=claim.seconds_left):
        raise SendError(problem_for("not_started"))


def _note_start(claim: Claim, journal: Journal) -> None:
    """Say in the journal that the call is about to be made. Raises SendError.

    A call that could outlast its lease is not made: others may already think that the
    worker is dead. In rehearsal there is no call, so that there is nothing to note.
    """
    if not claim.may_start:
        raise SendError(problem_for("not_started"), detail="Its turn came too late.")
    if claim.sender.is_live and not journal.may_start(claim.attempt.uid):
        raise SendError(problem_for("not_started"), detail="The journal is stuck.")


def _ours(code: str, error: Exception) -> SendError:
    return SendError(
        problem_for(code), detail=f"{type(error).__name__}: {error}", code=code
    )


def _outgoing(claim: Claim) -> Outgoing:
    """Build the mail. Raises SendError when it can't be built."""
    message = claim.message
    try:
        text, html = credentials.open_body(message)
    # This message's own fault: the keys of the account may be perfectly fine.
    except TamperedError as error:
        raise _ours("body_unreadable", error) from error
    except EncryptionError as error:
        raise SendError(problem_for("body_key_missing"), detail=str(error)) from error
    try:
        recipient = mime.ascii_address(message.recipient)
        content = mime.build_mime(message, sender=claim.sender, text=text, html=html)
    except ValueError as error:
        raise _ours("header_refused", error) from error
    return Outgoing(
        mime=content,
        recipient=recipient,
        from_email=claim.sender.from_email,
        configuration_set=claim.sender.configuration_set,
        tags={
            "tf-inst": claim.sender.installation.hex,
            "tf-msg": message.uid.hex,
            "tf-att": claim.attempt.uid.hex,
        },
    )
