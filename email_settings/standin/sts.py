"""AWS STS: who a key is, and keys for a while of a role."""

import secrets
from datetime import timedelta

from email_settings.standin.account import ACCOUNT_ID
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.iam import new_key_id, new_secret
from email_settings.standin.refused import RefusedError

SHORTEST_SESSION = timedelta(minutes=15)
USUAL_SECONDS = 3600


def get_caller_identity(ask: Ask) -> Answer:
    """Who am I? That needs no permission."""
    key = ask.signer.key
    return {"Account": ACCOUNT_ID, "UserId": "AIDAEXAMPLE", "Arn": key.arn}


def assume_role(ask: Ask) -> Answer:
    arn, name = ask.text("RoleArn"), ask.text("RoleSessionName")
    role = ask.account.roles.get(arn)
    # AWS tells nobody which of these it was.
    if (
        role is None
        or not ask.may("sts:AssumeRole", arn)
        or (role.external_id and role.external_id != ask.text("ExternalId"))
    ):
        words = (
            f"User: {ask.signer.key.arn} is not authorized to perform: sts:AssumeRole "
            f"on resource: {arn}"
        )
        raise RefusedError("AccessDenied", words, 403)
    session = timedelta(seconds=int(ask.text("DurationSeconds") or USUAL_SECONDS))
    if not SHORTEST_SESSION <= session <= role.longest_session:
        raise RefusedError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for "
            "this role.",
        )
    key = ask.account.add_key(
        new_key_id("ASIA"),
        new_secret(),
        user=f"{role.name}/{name}",
        actions=role.actions,
        policy=role.policy,
        session_token=secrets.token_urlsafe(48),
        expires_at=ask.account.now() + session,
        assumed=f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role.name}/{name}",
    )
    return {
        "Credentials": {
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret,
            "SessionToken": key.session_token,
            "Expiration": key.expires_at,
        },
        "AssumedRoleUser": {"AssumedRoleId": f"AROAEXAMPLE:{name}", "Arn": key.assumed},
    }


OPERATIONS: dict[str, Operation] = {
    "AssumeRole": assume_role,
    "GetCallerIdentity": get_caller_identity,
}
