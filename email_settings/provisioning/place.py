"""Where rights are given: which account, region and sender."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from email_settings.gateway.regions import partition_of
from email_settings.models import SesSettings
from email_settings.provisioning.names import Names

# Stands for the account in an ARN while it is not known. A user never gets further than
# its own account by it: in any other, that account's owner has to agree.
ANY_ACCOUNT = "*"


@dataclass(frozen=True)
class Place:
    """What the resources of a policy are named after."""

    region: str
    account: str  # 12 digits, or ANY_ACCOUNT
    from_email: str  # "" while it is not known
    # Out of the sandbox: name the sender's identities instead of every one
    is_narrow: bool
    user_arn: str  # of the running key, "" when it is not that of a user
    names: Names

    @classmethod
    def of(
        cls,
        sender: SesSettings,
        *,
        region: str = "",
        from_email: str = "",
        is_narrow: bool | None = None,
    ) -> Self:
        """Return the place of what is saved; the keywords take its place where given."""
        is_user = ":user/" in sender.principal_arn
        return cls(
            region=region or sender.region or "us-east-1",
            account=sender.account_id or ANY_ACCOUNT,
            from_email=from_email or sender.from_email,
            is_narrow=sender.is_sandbox is False if is_narrow is None else is_narrow,
            user_arn=sender.principal_arn if is_user else "",
            names=Names.of(sender),
        )

    @property
    def partition(self) -> str:
        return partition_of(self.region)

    def arn(self, service: str, name: str) -> str:
        """Return the ARN of something of that name in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{name}"

    @property
    def user(self) -> str:
        """The ARN of the user that a key belongs to.

        A policy variable while it is not known; that fits users without a path only.
        """
        if self.user_arn:
            return self.user_arn
        return f"arn:{self.partition}:iam::{self.account}:user/${{aws:username}}"

    @property
    def user_name(self) -> str:
        return self.user_arn.rpartition("/")[2] or self.names.user

    @property
    def configuration_set(self) -> str:
        return self.arn("ses", f"configuration-set/{self.names.configuration_set}")

    @property
    def topic(self) -> str:
        return self.arn("sns", self.names.topic)

    @property
    def queue(self) -> str:
        return self.arn("sqs", self.names.queue)

    @property
    def dead_letters(self) -> str:
        return self.arn("sqs", self.names.dead_letters)

    @property
    def identities(self) -> list[str]:
        """ARNs of all that may stand for the sender: address, domain, parent domains.

        Amazon SES asks for the most specific one that is verified.
        """
        return [
            self.arn("ses", f"identity/{literal(name)}")
            for name in _identities(self.from_email)
        ]


def literal(text: str) -> str:
    """Return the text so that IAM takes it as it is: no wildcard, no variable.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """
    return "".join(f"${{{sign}}}" if sign in "$*?" else sign for sign in text)


def _identities(address: str) -> Iterator[str]:
    yield address
    labels = address.rpartition("@")[2].split(".")
    # A top-level domain is nobody's identity.
    for start in range(len(labels) - 1):
        yield ".".join(labels[start:])
