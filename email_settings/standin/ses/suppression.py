"""The account's list of addresses that SES does not deliver to."""

from datetime import datetime
from typing import Any

from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.refused import RefusedError
from email_settings.standin.ses.rights import allow

MOST_IN_A_PAGE = 1000


def put_suppressed_destination(ask: Ask) -> Answer:
    allow(ask, "ses:PutSuppressedDestination")
    if not ask.region.is_production:
        raise RefusedError(
            "BadRequestException",
            "Accounts in the sandbox can't add to their suppression list.",
        )
    reason, address = ask.text("Reason"), ask.text("EmailAddress")
    if reason not in {"BOUNCE", "COMPLAINT"}:
        raise RefusedError("BadRequestException", f"Unknown reason <{reason}>.")
    ask.region.suppressed[address] = (reason, ask.account.now())
    return {}


def get_suppressed_destination(ask: Ask) -> Answer:
    allow(ask, "ses:GetSuppressedDestination")
    address = _known(ask)
    return {"SuppressedDestination": _entry(ask, address)}


def delete_suppressed_destination(ask: Ask) -> Answer:
    allow(ask, "ses:DeleteSuppressedDestination")
    del ask.region.suppressed[_known(ask)]
    return {}


def list_suppressed_destinations(ask: Ask) -> Answer:
    allow(ask, "ses:ListSuppressedDestinations")
    reasons = ask.parameters.get("Reasons") or ["BOUNCE", "COMPLAINT"]
    since: datetime | None = ask.parameters.get("StartDate")
    until: datetime | None = ask.parameters.get("EndDate")
    entries = [
        _entry(ask, address)
        for address, (reason, at) in ask.region.suppressed.items()
        if reason in reasons
        and (since is None or at >= since)
        and (until is None or at <= until)
    ]
    start = int(ask.text("NextToken") or 0)
    size = min(int(ask.text("PageSize") or MOST_IN_A_PAGE), MOST_IN_A_PAGE)
    answer: Answer = {"SuppressedDestinationSummaries": entries[start : start + size]}
    if start + size < len(entries):
        answer["NextToken"] = str(start + size)
    return answer


def _known(ask: Ask) -> str:
    """Return the address, which has to be written as it was stored."""
    address = ask.text("EmailAddress")
    if address not in ask.region.suppressed:
        words = f"Email address {address} does not exist on your suppression list."
        raise RefusedError("NotFoundException", words, 404)
    return address


def _entry(ask: Ask, address: str) -> dict[str, Any]:
    reason, at = ask.region.suppressed[address]
    return {"EmailAddress": address, "Reason": reason, "LastUpdateTime": at}


OPERATIONS: dict[str, Operation] = {
    "DeleteSuppressedDestination": delete_suppressed_destination,
    "GetSuppressedDestination": get_suppressed_destination,
    "ListSuppressedDestinations": list_suppressed_destinations,
    "PutSuppressedDestination": put_suppressed_destination,
}
