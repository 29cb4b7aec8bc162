"""Senders: addresses and domains, their DKIM and their MAIL FROM."""

from typing import Any

from email_settings.standin.account import Identity, MailFrom
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.refused import RefusedError
from email_settings.standin.ses.rights import allow


def get_email_identity(ask: Ask) -> Answer:
    allow(ask, "ses:GetEmailIdentity", f"identity/{ask.text('EmailIdentity')}")
    identity = _known(ask)
    answer: Answer = {
        "IdentityType": _type(identity),
        "VerifiedForSendingStatus": identity.is_verified,
        "VerificationStatus": _status(identity),
        "FeedbackForwardingStatus": identity.feedback_forwarding,
        "DkimAttributes": _dkim(ask, identity),
    }
    if identity.is_domain and not identity.is_verified and ask.account.looks_at_dns:
        error = ask.account.dkim_problem(ask.region, identity)
        answer["VerificationInfo"] = {
            "LastCheckedTimestamp": ask.account.now(),
            **({"ErrorType": error} if error else {}),
        }
    if identity.mail_from:
        answer["MailFromAttributes"] = {
            "MailFromDomain": identity.mail_from.domain,
            "MailFromDomainStatus": ask.account.mail_from_status(ask.region, identity),
            "BehaviorOnMxFailure": identity.mail_from.on_failure,
        }
    if identity.configuration_set:
        answer["ConfigurationSetName"] = identity.configuration_set
    return answer


def create_email_identity(ask: Ask) -> Answer:
    given = ask.text("EmailIdentity")
    local, at, domain = given.rpartition("@")
    name = f"{local}{at}{domain.lower()}"
    allow(ask, "ses:CreateEmailIdentity", f"identity/{name}")
    if "." not in domain or " " in name:
        raise RefusedError("BadRequestException", f"Invalid email address <{given}>.")
    if name in ask.region.identities:
        words = f"Email identity {name} already exist."
        raise RefusedError("AlreadyExistsException", words)
    made = Identity(
        name, is_verified=False, configuration_set=ask.text("ConfigurationSetName")
    )
    ask.region.identities[name] = made
    ask.account.look_at_dns(ask.region)
    return {
        "IdentityType": _type(made),
        "VerifiedForSendingStatus": made.is_verified,
        "DkimAttributes": _dkim(ask, made),
    }


def delete_email_identity(ask: Ask) -> Answer:
    allow(ask, "ses:DeleteEmailIdentity", f"identity/{ask.text('EmailIdentity')}")
    del ask.region.identities[_known(ask).name]
    return {}


def list_email_identities(ask: Ask) -> Answer:
    allow(ask, "ses:ListEmailIdentities")
    return {
        "EmailIdentities": [
            {
                "IdentityName": identity.name,
                "IdentityType": _type(identity),
                "SendingEnabled": identity.is_verified,
                "VerificationStatus": _status(identity),
            }
            for identity in ask.region.identities.values()
        ]
    }


def put_mail_from(ask: Ask) -> Answer:
    name = ask.text("EmailIdentity")
    allow(ask, "ses:PutEmailIdentityMailFromAttributes", f"identity/{name}")
    identity = _known(ask)
    domain = ask.text("MailFromDomain").lower()
    if not domain:
        identity.mail_from = None
        return {}
    if not domain.endswith(f".{identity.name.rpartition('@')[2]}"):
        raise RefusedError(
            "BadRequestException",
            f"Provided MAIL-FROM domain <{domain}> is not subdomain of the domain of "
            f"the identity <{identity.name}>.",
        )
    behaviour = ask.text("BehaviorOnMxFailure") or "USE_DEFAULT_VALUE"
    identity.mail_from = MailFrom(domain, behaviour)
    return {}


def _known(ask: Ask) -> Identity:
    name = ask.text("EmailIdentity")
    found = ask.region.identities.get(name)
    if found is None:
        words = f"Email identity {name} does not exist."
        raise RefusedError("NotFoundException", words, 404)
    return found


def _type(identity: Identity) -> str:
    return "DOMAIN" if identity.is_domain else "EMAIL_ADDRESS"


def _status(identity: Identity) -> str:
    return identity.status or ("SUCCESS" if identity.is_verified else "PENDING")


def _dkim(ask: Ask, identity: Identity) -> dict[str, Any]:
    if not identity.is_domain:
        return {
            "SigningEnabled": False,
            "Status": "NOT_STARTED",
            "SigningAttributesOrigin": "AWS_SES",
        }
    return {
        "SigningEnabled": True,
        "Status": _status(identity),
        "Tokens": identity.tokens,
        "SigningHostedZone": ask.region.dkim_zone,
        "SigningAttributesOrigin": "AWS_SES",
        "NextSigningKeyLength": "RSA_2048_BIT",
        "CurrentSigningKeyLength": "RSA_2048_BIT",
    }


OPERATIONS: dict[str, Operation] = {
    "CreateEmailIdentity": create_email_identity,
    "DeleteEmailIdentity": delete_email_identity,
    "GetEmailIdentity": get_email_identity,
    "ListEmailIdentities": list_email_identities,
    "PutEmailIdentityMailFromAttributes": put_mail_from,
}
