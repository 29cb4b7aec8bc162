"""Makes the session of the AWS SDK that belongs to some credentials."""

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from email_settings.credentials import Credentials, is_server_role_allowed
from email_settings.models import SesSettings

SESSION_NAME = "ticketflow"  # how CloudTrail names what is done in the role
# For the question to STS, which a mail may have to wait for
_CONFIG = Config(retries={"total_max_attempts": 2}, connect_timeout=3, read_timeout=5)


def session_of(credentials: Credentials) -> boto3.session.Session:
    """Return a session that signs with these credentials; it asks AWS nothing yet.

    A role is assumed when something is to be signed, and again before it ends. Raises
    NoCredentialsError where there is nothing to sign with: with an empty key the SDK
    would look for whatever this server has.
    """
    session = _signing_session(credentials)
    if credentials.source != SesSettings.Source.ROLE:
        return session
    role = Session()
    # Private, for want of a door; the tests of this module notice when it moves.
    role._credentials = _assumed(session, credentials)  # type: ignore[attr-defined]
    return boto3.session.Session(botocore_session=role, region_name=credentials.region)


def sts_region(session: boto3.session.Session, region: str) -> str:
    """Return where to ask STS: it knows keys and gives roles for regions not enabled."""
    return "us-east-1" if session.get_partition_for_region(region) == "aws" else region


def _signing_session(credentials: Credentials) -> boto3.session.Session:
    """Return the session of the key, or of what this server itself has."""
    if credentials.access_key_id and credentials.secret:
        return boto3.session.Session(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret.reveal(),
            region_name=credentials.region,
        )
    if credentials.source == SesSettings.Source.KEYS or not is_server_role_allowed():
        raise NoCredentialsError
    return boto3.session.Session(region_name=credentials.region)


def _assumed(
    session: boto3.session.Session, credentials: Credentials
) -> DeferredRefreshableCredentials:
    """Return credentials that assume the role when they are first needed."""
    base = session.get_credentials()
    if base is None:
        raise NoCredentialsError
    region = sts_region(session, credentials.region)

    def make_client(service: str, **keys: str) -> BaseClient:
        client: BaseClient = session.client(  # type: ignore[call-overload]
            service, region_name=region, config=_CONFIG, **keys
        )
        return client

    fetcher = AssumeRoleCredentialFetcher(
        make_client,
        base,
        credentials.role_arn,
        extra_args={
            "RoleSessionName": SESSION_NAME,
            "ExternalId": credentials.external_id,
        },
    )
    return DeferredRefreshableCredentials(
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )
