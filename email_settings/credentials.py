"""The only place where a stored secret is plain text."""

from dataclasses import dataclass, replace
from typing import NoReturn, Self

from django.conf import settings as django_settings
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from email_settings.models import KeyRotation, OutboxMessage, SesSettings
from ticketflow.errors import DomainError
from ticketflow.lib import encryption

_UNFINISHED_STATES = [
    state for state in OutboxMessage.State if state not in OutboxMessage.FINAL_STATES
]


class CredentialsMissingError(DomainError):
    """No access key has been saved."""


class ServerRoleOffError(CredentialsMissingError):
    """What this server itself has is to be used, and that is not allowed here."""

    def __init__(self) -> None:
        super().__init__(
            "The AWS credentials of this server are to be used, and that is not switched "
            "on. Set TICKETFLOW_ALLOW_SERVER_ROLE=1 in the environment of web and worker "
            "and start them again, or choose other credentials in Admin Panel → Email "
            "Settings."
        )


class Secret:
    """A text that does not show itself in logs, tracebacks, pickles or JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Only what hands it to AWS may ask."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret can't be pickled or copied.")


@dataclass(frozen=True)
class Credentials:
    """What a client of AWS needs. Without a key they are what this server itself has."""

    access_key_id: str
    secret: Secret
    region: str
    source: str = SesSettings.Source.KEYS
    role_arn: str = ""  # with the source "role": assumed with what stands above
    external_id: str = ""

    @property
    def hint(self) -> str:
        """The last four characters of the key id, enough to tell two apart."""
        return self.access_key_id[-4:]

    @property
    def of_the_key(self) -> Self:
        """The access key itself, without the role that it assumes."""
        return replace(
            self, source=SesSettings.Source.KEYS, role_arn="", external_id=""
        )


def is_server_role_allowed() -> bool:
    """Whether mail may use what this server itself has.

    Whoever installs TicketFlow decides, and not an admin in the browser, who could
    otherwise borrow every right of the machine.
    """
    return bool(django_settings.ALLOW_SERVER_ROLE)


def external_id_of(settings_row: SesSettings) -> str:
    """Return what the trust policy of a role asks for, the same one for ever.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html
    """
    # Known before anything is saved, so that the page can show it to a first visitor.
    made_up = salted_hmac("email_settings.external_id", "", algorithm="sha256")
    return settings_row.external_id or f"ticketflow-{made_up.hexdigest()[:32]}"


def note_key(settings_row: SesSettings, access_key_id: str) -> None:
    """Put another key id into the row, which the caller saves; its age begins anew."""
    if settings_row.access_key_id != access_key_id:
        settings_row.key_since = timezone.now() if access_key_id else None
        settings_row.key_created_at = settings_row.key_asked_at = None
    settings_row.access_key_id = access_key_id


def store_secret(settings_row: SesSettings, text: str) -> None:
    """Put the secret access key, encrypted, into the row, which the caller saves.

    Makes a key file if there is none, even when what was stored before needs the one
    that was lost: somebody has just typed in what takes its place. Raises
    encryption.EncryptionError when there is no usable key file.
    """
    encryption.create_key_file()
    settings_row.secret_access_key_encrypted = encryption.encrypt(
        text, context=_settings_context()
    )


def read_credentials(settings_row: SesSettings) -> Credentials:
    """Return what was saved.

    Raises CredentialsMissingError when it is not complete (an empty key would make
    the SDK look for others on this machine), ServerRoleOffError when those are wanted
    and not allowed, encryption.EncryptionError when the secret can't be read.
    """
    row, source = settings_row, SesSettings.Source(settings_row.source)
    if not row.has_credentials or not row.region:
        raise CredentialsMissingError(
            "The AWS access key is not complete. Fill in Admin Panel → Email Settings."
        )
    uses_key = source != source.SERVER and row.has_key
    if not uses_key and not is_server_role_allowed():
        raise ServerRoleOffError
    return Credentials(
        access_key_id=row.access_key_id if uses_key else "",
        secret=read_secret(row) if uses_key else Secret(""),
        region=row.region,
        source=source,
        role_arn=row.role_arn if source == source.ROLE else "",
        external_id=external_id_of(row) if source == source.ROLE else "",
    )


def read_secret(settings_row: SesSettings) -> Secret:
    """Return the secret access key that is stored.

    Raises encryption.EncryptionError when it can't be read.
    """
    stored = settings_row.secret_access_key_encrypted
    return Secret(encryption.decrypt(stored, context=_settings_context()))


def put_aside(rotation: KeyRotation, field: str, secret: Secret) -> None:
    """Put a secret, encrypted, into a field of the rotation, which the caller saves.

    Raises encryption.EncryptionError when there is no usable key file.
    """
    context = _rotation_context(rotation, field)
    setattr(rotation, field, encryption.encrypt(secret.reveal(), context=context))


def put_aside_of(rotation: KeyRotation, field: str) -> Secret:
    """Return a secret that was put aside. Raises encryption.EncryptionError."""
    stored: str = getattr(rotation, field)
    context = _rotation_context(rotation, field)
    return Secret(encryption.decrypt(stored, context=context))


def ensure_key_file() -> None:
    """Make the key file if there is none, unless something stored needs the lost one.

    Raises encryption.KeyFileMissingError then, and KeyFileError when it can't be made.
    """
    if encryption.has_key_file():
        return
    if is_a_key_needed():
        raise encryption.KeyFileMissingError
    encryption.create_key_file()


def is_a_key_needed() -> bool:
    """Whether anything stored could not be read without the key file."""
    return (
        SesSettings.objects.exclude(secret_access_key_encrypted="").exists()
        or sealed_messages().exists()
        or rotations_with_secrets().exists()
    )


def rotations_with_secrets() -> QuerySet[KeyRotation]:
    """Return the rotations that keep a secret: those that are not over."""
    return KeyRotation.objects.exclude(old_secret_encrypted="", new_secret_encrypted="")


def sealed_messages() -> QuerySet[OutboxMessage]:
    """Return the messages whose bodies are stored encrypted."""
    # A final state has wiped them; naming the others lets an index find them.
    return OutboxMessage.objects.filter(
        is_secret=True, state__in=_UNFINISHED_STATES
    ).exclude(text_body="")


def why_unreadable(settings_row: SesSettings) -> str:
    """Say why the stored secret can't be read, "" when it can or there is none."""
    sealed = sealed_in(settings_row)
    return sealed[0].why_unreadable() if sealed else ""


def with_known_key(messages: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    """Return those whose sealed body names a key that is in the key file now."""
    try:
        known = encryption.key_ids()
    except encryption.EncryptionError:
        return messages.none()
    names_one = Q()
    for key_id in known:
        names_one |= Q(text_body__startswith=encryption.prefix_of(key_id))
    return messages.filter(names_one, is_secret=True)


def seal_body(message: OutboxMessage) -> None:
    """Encrypt both bodies of a message that is not saved yet.

    Raises encryption.EncryptionError when there is no usable key file.
    """
    ensure_key_file()
    message.text_body = _seal(message, "text_body")
    message.html_body = _seal(message, "html_body") if message.html_body else ""


def open_body(message: OutboxMessage) -> tuple[str, str]:
    """Return the text and the HTML of a message, whether they are sealed or not.

    Raises encryption.EncryptionError when a sealed one can't be read.
    """
    if not message.is_secret:
        return message.text, message.html
    return _open(message, "text_body"), _open(message, "html_body")


@dataclass(frozen=True)
class Sealed:
    """One stored value: where it is kept, and the text that is stored there."""

    field: str  # of its model
    stored: str
    context: str

    @property
    def key_id(self) -> str:
        return encryption.key_id_of(self.stored)

    def why_unreadable(self) -> str:
        """Say why it can't be read, "" when it can."""
        try:
            encryption.decrypt(self.stored, context=self.context)
        except encryption.EncryptionError as error:
            return str(error)
        return ""

    def under_first_key(self) -> str:
        """Return it encrypted anew. Raises encryption.EncryptionError."""
        plaintext = encryption.decrypt(self.stored, context=self.context)
        return encryption.encrypt(plaintext, context=self.context)


# What keeps something encrypted
SealedRow = SesSettings | OutboxMessage | KeyRotation


def sealed_in(row: SealedRow) -> list[Sealed]:
    """Return what the row keeps encrypted."""
    if isinstance(row, SesSettings):
        fields = {"secret_access_key_encrypted": _settings_context()}
    elif isinstance(row, KeyRotation):
        names = ["old_secret_encrypted", "new_secret_encrypted"]
        fields = {name: _rotation_context(row, name) for name in names}
    else:
        names = ["text_body", "html_body"] if row.is_secret else []
        fields = {name: _body_context(row, name) for name in names}
    return [
        Sealed(name, stored, context)
        for name, context in fields.items()
        if (stored := getattr(row, name))
    ]


def _seal(message: OutboxMessage, field: str) -> str:
    return encryption.encrypt(
        getattr(message, field), context=_body_context(message, field)
    )


def _open(message: OutboxMessage, field: str) -> str:
    stored: str = getattr(message, field)
    if not stored:
        return ""
    return encryption.decrypt(stored, context=_body_context(message, field))


def _settings_context() -> str:
    return f"email_settings.SesSettings|secret_access_key|{SesSettings.ONLY_ID}"


def _rotation_context(rotation: KeyRotation, field: str) -> str:
    return f"email_settings.KeyRotation|{field}|{rotation.uid}"


def _body_context(message: OutboxMessage, field: str) -> str:
    # The uid and not the primary key: it is known before the row is written.
    return f"email_settings.OutboxMessage|{field}|{message.uid}"
