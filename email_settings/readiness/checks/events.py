"""Whether Amazon SES tells what became of each mail, and whether that was tried."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.timesince import timesince

from email_settings.canary import Stage, canary_of
from email_settings.canary import said as canary_says
from email_settings.events.status import SILENT_AFTER, FeedStatus, feed_status
from email_settings.gateway.errors import ErrorClass, SendError
from email_settings.models import MailWatch
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look
from email_settings.silence import Kind, silence_of

# Without these nobody learns that a mail did not arrive.
NEEDED = ("BOUNCE", "COMPLAINT", "DELIVERY")
# Most events come within seconds; AWS promises no time.
PATIENCE = timedelta(minutes=10)


def events(look: Look) -> Finding:
    """Look whether events can come: the set, where it sends them, and the queue."""
    feed = feed_status(look.sender)
    if not feed.is_connected:
        return Finding(
            State.TODO,
            "Not connected",
            "Mail leaves without. “Sent” then means that Amazon SES took it: whether it "
            "arrived, bounced or was called spam is not seen here, and a mail whose "
            "answer got lost waits for a person.",
            "Have a configuration set, a topic and a queue made in your account, and save "
            "their names here.",
            actions=("connect_events",),
        )
    try:
        trouble = _of_the_set(look)
    except SendError as error:
        # The queue shows as well whether events come.
        if error.problem.kind is not ErrorClass.IAM or not feed.last_event_at:
            return look.refused(error)
        trouble = None
    return trouble or _of_the_mails(look) or _with_canary(_of_the_ways(feed), look)


def _of_the_mails(look: Look) -> Finding | None:
    """Say that mail leaves and no news of it comes, None where that is not so."""
    silence = silence_of(MailWatch.load())
    if silence is None or silence.kind is not Kind.UNHEARD:
        return None
    return Finding(
        State.WRONG,
        "No news",
        f"{silence.what} It has been so since {silence.since:%d %B %H:%M} UTC.",
        " ".join(silence.causes(look.sender)),
    )


def _with_canary(finding: Finding, look: Look) -> Finding:
    """Add how the hourly mail to the simulator fares, where one flies."""
    canary = canary_of(look.sender)
    if finding.state is not State.DONE or canary.stage is Stage.OFF:
        return finding
    said = f"The hourly canary: {canary_says(canary)}"
    if canary.is_trouble:
        return replace(finding, state=State.TODO, said="Canary late", evidence=said)
    return replace(finding, evidence=f"{finding.evidence} {said}")


def _of_the_set(look: Look) -> Finding | None:
    """Say what is wrong with the configuration set, None when it is as it should be."""
    name, region = look.sender.configuration_set, look.sender.region
    found = look.aws.configuration_set(name)
    if found is None:
        return Finding(
            State.WRONG,
            "Set missing",
            f"There is no configuration set {name} in {region}. Every mail names it, so "
            "Amazon SES refuses them.",
            "Make it again, or save the name of the one that is there.",
            actions=("connect_events",),
        )
    if found.get("SendingOptions", {}).get("SendingEnabled") is False:
        return Finding(
            State.WRONG,
            "Set switched off",
            f"Sending is switched off for the configuration set {name}, so Amazon SES "
            "refuses every mail.",
            "Turn it on in Amazon SES → Configuration sets → the set → Edit.",
        )
    told = look.aws.event_destinations(name) or {}
    return _of_its_destinations(look, told.get("EventDestinations", []))


def _of_its_destinations(look: Look, told: list[dict[str, Any]]) -> Finding | None:
    name, topic = look.sender.configuration_set, look.sender.event_topic_arn
    ours = [
        each
        for each in told
        if (arn := each.get("SnsDestination", {}).get("TopicArn"))
        and (not topic or arn == topic)
    ]
    if not ours:
        where = f"to {topic}" if topic else "to any SNS topic"
        return Finding(
            State.WRONG,
            "No destination",
            f"The configuration set {name} sends its events not {where}, so none come.",
            "Connect the events again.",
            actions=("connect_events",),
        )
    if not any(each.get("Enabled") for each in ours):
        return Finding(
            State.WRONG,
            "Destination off",
            f"The destination {ours[0].get('Name')} of the configuration set {name} is "
            "switched off, so no events come.",
            "Turn it on in Amazon SES → Configuration sets → the set → Event "
            "destinations.",
        )
    kinds = {
        kind
        for each in ours
        if each.get("Enabled")
        for kind in each.get("MatchingEventTypes", [])
    }
    if missing := [kind for kind in NEEDED if kind not in kinds]:
        return Finding(
            State.WRONG,
            "Kinds missing",
            f"The destination of {name} leaves out {', '.join(missing)}.",
            "Tick them in Amazon SES → Configuration sets → the set → Event "
            "destinations.",
        )
    return None


def _of_the_ways(feed: FeedStatus) -> Finding:
    """Look at queue and webhook; what the one misses the other may bring."""
    if not feed.has_queue:
        return _of_the_webhook(feed)
    found = _of_the_queue(feed)
    if found.state is not State.DONE and feed.webhook.is_working and feed.last_event_at:
        also = " Events come by the webhook meanwhile."
        return replace(found, state=State.TODO, evidence=found.evidence + also)
    if feed.webhook.ended_at or feed.webhook_problem:
        also = " The webhook does not work besides; see “Delivery events”."
        return replace(found, evidence=found.evidence + also)
    return found


def _of_the_webhook(feed: FeedStatus) -> Finding:
    now, webhook = timezone.now(), feed.webhook
    if webhook.ended_at:
        return Finding(
            State.WRONG,
            "Webhook ended",
            f"Amazon SNS was told {_ago(webhook.ended_at, now)} to post no more, and no "
            "queue is connected: nobody hears of bounces.",
            "Switch the webhook on again on the page “Delivery events”.",
        )
    if problem := feed.webhook_problem:
        return Finding(
            State.WRONG,
            "Webhook not confirmed",
            f"{problem.title} {problem.why}",
            problem.fix,
            statement=problem.statement,
            words=problem.words,
        )
    if webhook.is_pending:
        return Finding(
            State.TODO,
            "Not confirmed",
            "The webhook is on, and Amazon SNS has not asked to be confirmed.",
            "See on the page “Delivery events” whether posts were refused, or make the "
            "subscription by hand as it says there.",
        )
    return _of_what_came(
        feed,
        "Send to the simulator. If nothing comes within minutes, see on the page "
        "“Delivery events” whether posts were refused.",
    )


def _of_the_queue(feed: FeedStatus) -> Finding:
    if problem := feed.problem:
        return Finding(
            State.WRONG,
            "Queue not read",
            f"{problem.title} {problem.why}",
            problem.fix,
            statement=problem.statement,
            words=problem.words,
        )
    now = timezone.now()
    if feed.last_received_at is None or now - feed.last_received_at > SILENT_AFTER:
        return Finding(
            State.TODO,
            "Queue not read",
            "Nobody has asked the queue for some minutes: that is what the worker does.",
            "See that a worker runs.",
        )
    return _of_what_came(
        feed,
        "Send to the simulator. If nothing comes within minutes, look at the access "
        "policies of topic and queue, and at the subscription between them.",
    )


def _of_what_came(feed: FeedStatus, fix: str) -> Finding:
    now = timezone.now()
    if feed.last_event_at:
        return Finding(
            State.DONE,
            "Connected",
            f"The last event came {_ago(feed.last_event_at, now)}; {feed.event_count:,} "
            "in all.",
        )
    if feed.validated_at:
        return Finding(
            State.DONE,
            "Connected",
            f"Amazon SES proved {_ago(feed.validated_at, now)} that it reaches the "
            f"{'queue' if feed.has_queue else 'webhook'}. No mail has made an event yet.",
        )
    return Finding(
        State.TODO,
        "No event yet",
        f"{'The queue is read' if feed.has_queue else 'The webhook is confirmed'}, and "
        "nothing has come: not even the proof that Amazon SES sends when a destination "
        "is made.",
        fix,
    )


def simulator(look: Look) -> Finding:
    """Look whether a bounce and a complaint of Amazon's simulator came back."""
    feed = feed_status(look.sender)
    if feed.is_proven:
        delays = [trial.delay for trial in feed.trials.values() if trial.delay]
        longest = max(delays, default=timedelta(0))
        return Finding(
            State.DONE,
            "Seen",
            "A delivery, a bounce and a complaint came back, the last after "
            f"{longest.total_seconds():.0f} seconds.",
        )
    sent = [trial.sent_at for trial in feed.trials.values() if trial.sent_at]
    if not sent:
        return Finding(
            State.TODO,
            "Not tried",
            "Amazon SES has mailboxes that bounce and complain on purpose. Three mails "
            "to them show whether the news comes back here.",
            "Send to the simulator on the page “Delivery events”.",
        )
    missing = [kind for kind, trial in feed.trials.items() if not trial.seen_at]
    named = " and ".join([", ".join(missing[:-1]), missing[-1]]).removeprefix(" and ")
    if timezone.now() - max(sent) < PATIENCE:
        return Finding(
            State.TODO,
            "On their way",
            f"The mails to the simulator have left; no news yet of {named}.",
            "Most come within a minute.",
        )
    return Finding(
        State.WRONG,
        "No news",
        f"The mails to the simulator left {_ago(max(sent), timezone.now())}, and no news "
        f"came of {named}.",
        "Look at “Delivery events” above, then send to the simulator once more.",
        actions=("send_simulator_mails",),
    )


def _ago(moment: datetime, now: datetime) -> str:
    return f"{timesince(moment, now, depth=1)} ago"
