"""Makes the session of the AWS SDK that belongs to some credentials."""

import boto3

from email_settings.credentials import Credentials


def session_of(credentials: Credentials) -> boto3.session.Session:
    """Return a session that signs with these credentials; it asks AWS nothing yet."""
    return boto3.session.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret.reveal(),
        region_name=credentials.region,
    )
