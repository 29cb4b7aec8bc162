"""The clock and the access key: what every other question rests on."""

import re
from datetime import timedelta

from email_settings import account_watch
from email_settings.credentials import Credentials
from email_settings.gateway.errors import ErrorClass, SendError, problem_for
from email_settings.gateway.reader import Caller
from email_settings.gateway.ses import credentials_of
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look

# AWS refuses what is five minutes off; below one there is time to mend it.
CLOCK_TOLERANCE = timedelta(seconds=60)
_ACCESS_KEY_ID = re.compile(r"AKIA[A-Z0-9]{16}")
_SECRET = re.compile(r"[A-Za-z0-9/+=]{40}")
# 44 characters of base64 whose first byte is 4
# (https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html)
_SMTP_PASSWORD = re.compile(r"B[A-P].{42}")


def clock(look: Look) -> Finding:
    """Compare this server's clock with that of AWS, which every answer of STS tells."""
    try:
        look.aws.caller()
    except SendError as error:
        # A refusal tells the time, too.
        if look.aws.clock_ahead is None:
            return Finding(
                State.UNKNOWN,
                "No answer",
                "AWS, whose clock is the measure, gave no answer. "
                f"{error.problem.title} {error.problem.why}",
                error.problem.fix,
                words=error.record,
            )
    ahead = look.aws.clock_ahead
    if ahead is None:
        return Finding(
            State.UNKNOWN, "Not told", "AWS answered and did not say what time it is."
        )
    seconds = round(ahead.total_seconds())
    if abs(ahead) <= CLOCK_TOLERANCE:
        apart = "the same as" if abs(seconds) < 2 else f"{_length(seconds)} from"
        return Finding(
            State.DONE, "Right", f"This server's clock is {apart} that of AWS."
        )
    direction = "fast" if seconds > 0 else "slow"
    return Finding(
        State.WRONG,
        f"{_length(seconds)} {direction}",
        f"This server's clock is {_length(seconds)} {direction}. AWS refuses requests "
        "that are more than five minutes off, and times on tickets are wrong, too.",
        "Have the clock set over the network: on Linux, sudo timedatectl set-ntp true. "
        "In a container, set that of the machine it runs on.",
    )


def _length(seconds: int) -> str:
    number = abs(seconds)
    if number < 120:
        return f"{number} seconds"
    minutes = round(number / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"


def key_format(look: Look) -> Finding:
    """Look at the shape of what is stored, and ask nobody."""
    try:
        stored = credentials_of(look.sender)
    except SendError as error:
        # The secret can't be read: without it there is nothing to ask with.
        return look.refused(error)
    if not stored.access_key_id:
        return Finding(
            State.UNNEEDED,
            "Not needed",
            "What this server itself has is used: no key is stored here.",
        )
    code = _wrong_shape(stored)
    if code:
        problem = problem_for(code)
        return Finding(
            State.WRONG,
            "Wrong shape",
            f"{problem.title} {problem.why}",
            problem.fix,
        )
    return Finding(
        State.DONE,
        "Stored",
        f"The key that ends in {stored.hint}, and its secret, encrypted.",
    )


def _wrong_shape(stored: Credentials) -> str:
    """Return the catalogue's code for what the stored key can't be, "" if it may be one."""
    secret = stored.secret.reveal()
    if stored.access_key_id.startswith("ASIA"):
        return "temporary_key"
    if not _ACCESS_KEY_ID.fullmatch(stored.access_key_id):
        return "access_key_shape"
    if _SMTP_PASSWORD.fullmatch(secret):
        return "smtp_password"
    return "" if _SECRET.fullmatch(secret) else "secret_shape"


def credentials(look: Look) -> Finding:
    """Ask STS whose credentials they are."""
    try:
        caller = look.aws.caller()
    except SendError as error:
        return _without_sts(look, error)
    account_watch.learn_caller(
        look.sender, account_id=caller.account_id, principal_arn=caller.arn
    )
    if _is_root(caller):
        return Finding(
            State.TODO,
            "Root user",
            f"{_account(caller)}, the root user. It may do everything, and so may "
            "whoever gets hold of this key.",
            "Create an IAM user with the rights of the guide alone, use its access key "
            "here, and delete that of the root user.",
        )
    return Finding(State.DONE, "Valid", f"{_account(caller)}, {_principal(caller)}.")


def _without_sts(look: Look, refusal: SendError) -> Finding:
    """Ask SES instead where STS can't be reached: that is all that mail needs."""
    if refusal.problem.kind not in {ErrorClass.NOTSENT, ErrorClass.UNKNOWN}:
        return look.refused(refusal)
    try:
        look.aws.account()
    except SendError as error:
        if error.problem.kind is not ErrorClass.IAM:
            return look.refused(error)
    return Finding(
        State.DONE,
        "Valid",
        "Amazon SES answers to this key. STS, which would say whose it is, could not be "
        "reached.",
        "Nothing has to be done. To see the account here, allow outgoing connections to "
        "sts.amazonaws.com, port 443.",
        words=refusal.record,
    )


def _account(caller: Caller) -> str:
    number = caller.account_id
    return f"AWS account {number[:4]}-{number[4:8]}-{number[8:]}"


def _is_root(caller: Caller) -> bool:
    return caller.arn.endswith(":root")


def _principal(caller: Caller) -> str:
    """Return "user ses" for arn:aws:iam::123456789012:user/ses."""
    kind, _, name = caller.arn.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        return f"role {name.partition('/')[0]}"
    return f"{kind} {name.rpartition('/')[2]}" if name else kind
