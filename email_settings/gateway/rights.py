"""Whether credentials may read what Email Settings show: each right tried once.

There is no question "may this key …?" that a key without further rights may ask.
"""

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from email_settings.credentials import Credentials
from email_settings.gateway.errors import ErrorClass, SendError, problem_for
from email_settings.gateway.probe import explain_question
from email_settings.gateway.sessions import session_of
from email_settings.gateway.turns import turn

READS = ("ses:GetAccount", "ses:GetEmailIdentity")
# KeyError is what the SDK makes of a portal's page, RuntimeError of temporary
# credentials that could not be renewed.
_SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, KeyError, RuntimeError)
_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=4)


def try_read(
    action: str, credentials: Credentials, *, from_email: str, turns: str
) -> None:
    """Do one of READS, when it is its turn. Raises SendError when that is refused.

    `turns` names the account and region whose turns they are. Not in a transaction.
    """
    try:
        client = session_of(credentials).client("sesv2", config=_CONFIG)
        with turn(turns) as is_ours:
            if not is_ours:
                raise SendError(problem_for("rate_exceeded"), detail="No turn came")
            if action == "ses:GetAccount":
                client.get_account()
            else:
                client.get_email_identity(EmailIdentity=from_email)
    except _SDK_ERRORS as error:
        found = explain_question(
            error, region=credentials.region, from_email=from_email
        )
        # That there is no such identity is an answer, too.
        if not found.code.startswith("NotFound"):
            raise found from error


def is_transient(error: SendError) -> bool:
    """Whether the same question may be answered a moment later."""
    return error.problem.kind in {
        ErrorClass.NOTSENT,
        ErrorClass.UNKNOWN,
        ErrorClass.RATE,
        ErrorClass.QUOTA,
    }
