"""The role that AWS lends: who it trusts, as text to paste."""

import json

from email_settings.credentials import external_id_of
from email_settings.models import SesSettings


def trust_policy(settings: SesSettings) -> str:
    """Return the trust policy of a role that this installation may assume.

    It names whoever AWS said that the key belongs to, or a place to fill in where it
    did not say yet.
    """
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": _who(settings)},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"sts:ExternalId": external_id_of(settings)}
                },
            }
        ],
    }
    return json.dumps(policy, indent=2)


def _who(settings: SesSettings) -> str:
    """Return the ARN of who assumes the role, as far as it is known."""
    if ":user/" in settings.principal_arn and settings.source == settings.Source.KEYS:
        return settings.principal_arn
    # Most often role and user are in the same account.
    parts = settings.role_arn.split(":")
    partition, account = (parts[1], parts[4]) if len(parts) > 4 else ("aws", "")
    account = account or settings.account_id or "YOUR-ACCOUNT-NUMBER"
    return f"arn:{partition}:iam::{account}:user/USER-OF-THE-KEY"
