"""What the account may do in the region: one answer of AWS, three lines."""

from django.db import transaction
from django.template.defaultfilters import pluralize

from email_settings import account_watch
from email_settings.delivery import hold
from email_settings.gateway.errors import ErrorClass, SendError, problem_for
from email_settings.gateway.probe import state_of
from email_settings.gateway.reader import Answer
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look

WARN_FROM = 0.8  # of the quota


def region(look: Look) -> Finding:
    """Tell a region that is not enabled from a key that is not known."""
    name = look.sender.region
    try:
        look.aws.account()
    except SendError as error:
        if error.problem.code == "key_unknown":
            # STS knows the key, or this line would wait: so it is the region.
            problem = problem_for("region_not_enabled", region=name)
            return Finding(
                State.WRONG,
                "Not enabled",
                f"{problem.title} {problem.why}",
                problem.fix,
                words=error.record,
            )
        if error.problem.kind is not ErrorClass.IAM:
            return look.refused(error)
        # Who says no to a question answers in that region.
    return Finding(State.DONE, "Answers", f"Amazon SES answers in {name}.")


def account(look: Look) -> Finding:
    """Look whether the account may write to anybody, and what AWS thinks of it.

    Delivery learns of it in the same moment: mail that only the sandbox kept back
    leaves as soon as production access is seen.
    """
    try:
        answer = look.aws.account()
    except SendError as error:
        _learn(look, error)
        return look.refused(error)
    _learn(look, answer)
    return _stopped(look, answer) or _mode(look, answer)


def _learn(look: Look, answer: Answer | SendError) -> None:
    with transaction.atomic():
        account_watch.learn(look.sender, state_of(answer))


def _stopped(look: Look, answer: Answer) -> Finding | None:
    if answer.get("EnforcementStatus") == "SHUTDOWN":
        problem, said = problem_for("sending_paused_by_aws"), "Paused by AWS"
    elif answer.get("SendingEnabled") is False:
        problem, said = problem_for("sending_switched_off"), "Switched off"
    else:
        return None
    return Finding(State.WRONG, said, f"{problem.title} {problem.why}", problem.fix)


def _mode(look: Look, answer: Answer) -> Finding:
    has_production_access = answer.get("ProductionAccessEnabled")
    if has_production_access is None:
        return Finding(
            State.UNKNOWN, "Not told", "AWS did not say whether this is the sandbox."
        )
    if not has_production_access:
        return _sandbox(look, answer)
    if answer.get("EnforcementStatus") == "PROBATION":
        return Finding(
            State.TODO,
            "On probation",
            "You can write to any address, and AWS watches this account: too many mails "
            "bounced or were reported as spam. It may stop the account next.",
            "Read the mail that AWS sent to the address of the account, answer its case "
            "in the Support Center, and look at what bounced in Email Activity.",
        )
    return Finding(State.DONE, "Production", "You can write to any address.")


def _sandbox(look: Look, answer: Answer) -> Finding:
    quota = answer.get("SendQuota", {})
    day, second = quota.get("Max24HourSend", 200), quota.get("MaxSendRate", 1)
    evidence = (
        "In the sandbox Amazon SES delivers only to addresses that you have verified, "
        f"{day:,.0f} mails a day and {second:g} a second at most."
    )
    if held := hold.count(hold.SANDBOX):
        evidence += (
            f" {held:,} mail{pluralize(held)} {pluralize(held, 'waits,wait')} for its "
            "end here."
        )
    review = answer.get("Details", {}).get("ReviewDetails", {})
    case = review.get("CaseId", "")
    named = f" (case {case})" if case else ""
    match review.get("Status"):
        case "PENDING":
            return Finding(
                State.TODO,
                "Under review",
                f"You have asked AWS for production access{named}. {evidence}",
                "AWS answers within a day, mostly. Look for its questions in the Support "
                "Center. Mail leaves here by itself once it says yes.",
            )
        case "DENIED":
            return Finding(
                State.WRONG,
                "Denied",
                f"AWS did not give you production access{named}. {evidence}",
                "Read its reasons in the Support Center and answer the case: say whom "
                "you write to, that each of them has asked for it by a ticket, and what "
                "you do about bounces. Then ask again.",
                actions=("request_production",),
            )
        case "FAILED":
            return Finding(
                State.WRONG,
                "Request failed",
                f"Your request for production access did not come through{named}. "
                f"{evidence}",
                "It is an error on the side of AWS: ask again.",
                actions=("request_production",),
            )
    return Finding(
        State.TODO,
        "Sandbox",
        evidence,
        "Ask AWS for production access; it answers within a day, mostly.",
        actions=("request_production",),
    )


def quota(look: Look) -> Finding:
    """Look how much of the day's quota is used, and how fast mail may leave."""
    try:
        answer = look.aws.account()
    except SendError as error:
        return look.refused(error)
    told = answer.get("SendQuota", {})
    limit, used = told.get("Max24HourSend"), told.get("SentLast24Hours")
    rate = told.get("MaxSendRate")
    if limit is None or used is None:
        return Finding(
            State.UNKNOWN, "Not told", "AWS did not say how much may be sent."
        )
    speed = f", up to {rate:,g} per second" if rate else ""
    if limit < 0:
        return Finding(
            State.DONE, "Unlimited", f"{used:,.0f} sent in 24 hours{speed}.", used=used
        )
    share = used / limit if limit else 1.0
    state = State.DONE if share < WARN_FROM else State.TODO
    fix = ""
    if share >= WARN_FROM:
        fix = (
            "When it is used up, mail waits until older mails are 24 hours past. Ask AWS "
            "for a higher quota: Service Quotas → Amazon SES → Sending quota."
        )
    return Finding(
        state if share < 1 else State.WRONG,
        f"{share:.0%} used".replace("%", " %"),
        f"{used:,.0f} of {limit:,.0f} in 24 hours{speed}.",
        fix,
        used=used,
        limit=max(limit, 1.0),
    )
