"""The account: what it may send, and leaving the sandbox."""

import uuid
from datetime import timedelta
from typing import Any

from email_settings.standin.account import Review
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.refused import RefusedError
from email_settings.standin.ses.rights import allow

DAY = timedelta(hours=24)
LONGEST_USE_CASE = 5000  # characters
MOST_CONTACTS = 4
_TOLD = (
    "MailType",
    "WebsiteURL",
    "ContactLanguage",
    "UseCaseDescription",
    "AdditionalContactEmailAddresses",
)


def get_account(ask: Ask) -> Answer:
    allow(ask, "ses:GetAccount")
    region = ask.region
    answer: Answer = {
        "DedicatedIpAutoWarmupEnabled": False,
        "EnforcementStatus": region.enforcement,
        "ProductionAccessEnabled": region.is_production,
        "SendingEnabled": region.is_sending_enabled,
        "SendQuota": {
            "Max24HourSend": region.quota,
            "MaxSendRate": region.rate,
            "SentLast24Hours": float(region.sent_since(ask.account.now() - DAY)),
        },
        "SuppressionAttributes": {"SuppressedReasons": region.suppressed_reasons},
    }
    if details := _details(region.review):
        answer["Details"] = details
    return answer


def _details(review: Review) -> dict[str, Any]:
    details: dict[str, Any] = dict(review.details)
    if review.status:
        details["ReviewDetails"] = {"Status": review.status, "CaseId": review.case_id}
    return details


def put_account_details(ask: Ask) -> Answer:
    allow(ask, "ses:PutAccountDetails")
    region = ask.region
    if region.review.status == "PENDING":
        words = "There is a pending review of the details of this account."
        raise RefusedError("ConflictException", words, 409)
    for name in ("MailType", "WebsiteURL"):
        if not ask.text(name):
            raise RefusedError("BadRequestException", f"{name} is required.")
    if len(ask.text("UseCaseDescription")) > LONGEST_USE_CASE:
        raise RefusedError("BadRequestException", "UseCaseDescription is too long.")
    contacts = ask.parameters.get("AdditionalContactEmailAddresses", [])
    if len(contacts) > MOST_CONTACTS:
        raise RefusedError("BadRequestException", "Too many contact addresses.")
    details = {name: ask.parameters[name] for name in _TOLD if name in ask.parameters}
    region.review.details = details
    if ask.parameters.get("ProductionAccessEnabled") and not region.is_production:
        region.review.status = "PENDING"
        region.review.case_id = f"{uuid.uuid4().int % 10**15:015}"
    return {}


def put_account_sending_attributes(ask: Ask) -> Answer:
    allow(ask, "ses:PutAccountSendingAttributes")
    ask.region.is_sending_enabled = bool(ask.parameters.get("SendingEnabled", False))
    return {}


def put_account_suppression_attributes(ask: Ask) -> Answer:
    allow(ask, "ses:PutAccountSuppressionAttributes")
    ask.region.suppressed_reasons = list(ask.parameters.get("SuppressedReasons", []))
    return {}


OPERATIONS: dict[str, Operation] = {
    "GetAccount": get_account,
    "PutAccountDetails": put_account_details,
    "PutAccountSendingAttributes": put_account_sending_attributes,
    "PutAccountSuppressionAttributes": put_account_suppression_attributes,
}
