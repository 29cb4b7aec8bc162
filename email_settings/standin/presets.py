"""States that an account can be put into at once: new, ready, with events."""

import json

from email_settings.standin.account import (
    ACCOUNT_ID,
    EVERYTHING,
    Account,
    ConfigurationSet,
    Destination,
    Feed,
    Identity,
    MailFrom,
    Region,
    Review,
)
from email_settings.standin.messaging import Queue, Subscription, Topic
from email_settings.standin.ses.sets import VALIDATED

SENDING = frozenset({"ses:SendEmail", "ses:SendRawEmail"})
READING = frozenset(
    {
        "ses:GetAccount",
        "ses:GetConfigurationSet",
        "ses:GetConfigurationSetEventDestinations",
        "ses:GetEmailIdentity",
        "ses:GetSuppressedDestination",
        "ses:ListEmailIdentities",
        "ses:ListSuppressedDestinations",
    }
)
POLLING = frozenset(
    {
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
    }
)
# What a key may do, by the name that the console has for it
RIGHTS: dict[str, frozenset[str]] = {
    "all": EVERYTHING,
    "events": SENDING | READING | POLLING,
    "read": SENDING | READING,
    "send": SENDING,
    "none": frozenset(),
}
DMARC = "v=DMARC1; p=none; rua=mailto:dmarc@{domain}"
EVENT_TYPES = ["SEND", "REJECT", "BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY"]


def begin_new(account: Account, domain: str) -> None:
    """Let nothing be set up: every region in the sandbox, no sender, no record of SES.

    The company's own mail server is in DNS, as it would be.
    """
    _forget(account, domain)
    account.prepare = _put_in_the_sandbox


def begin_ready(account: Account, domain: str) -> None:
    """Let mail be able to leave from every region, with every record in DNS."""
    _forget(account, domain)
    account.zone.put(f"_dmarc.{domain}", "TXT", DMARC.format(domain=domain))

    def ready(_: Account, region: Region) -> None:
        # Each region wants an MX of its own, and only one may be at a name.
        mail_from = MailFrom(f"bounce-{region.name}.{domain}")
        identity = Identity(domain, mail_from=mail_from)
        region.identities[domain] = identity
        region.review = Review(status="GRANTED", case_id="170000000000001")
        publish_records(account, region, identity)

    account.prepare = ready


def _forget(account: Account, domain: str) -> None:
    account.regions.clear()
    account.verified_everywhere.clear()
    account.zone.records.clear()
    account.zone.broken.clear()
    for unwilling in (account.bouncing, account.complaining, account.full):
        unwilling.clear()
    account.on_the_way.clear()
    account.feed = Feed(delay=account.feed.delay, transport=account.feed.transport)
    account.trouble = None
    account.zone.publish(domain, "MX", f"10 mail.{domain}")
    for key in account.keys.values():
        key.is_active, key.actions = True, EVERYTHING


def _put_in_the_sandbox(_: Account, region: Region) -> None:
    region.is_production = False


def publish_records(account: Account, region: Region, identity: Identity) -> None:
    """Put all that an identity wants into DNS, and nothing else in its place."""
    for name, kind, value in account.records_for(region, identity):
        account.zone.put(name, kind, value)


def connect_events(
    account: Account, region: Region, name: str = "ticketflow-ses"
) -> Queue:
    """Make a set, a topic and a queue of that name, each open to the one before.

    As AWS does, the topic is tried at once: the first text is in the queue.
    """
    place = f"{region.name}:{ACCOUNT_ID}"
    topic = Topic(f"arn:aws:sns:{place}:{name}")
    queue = Queue(
        name,
        f"arn:aws:sqs:{place}:{name}",
        f"https://sqs.{region.name}.amazonaws.com/{ACCOUNT_ID}/{name}",
    )
    set_arn = f"arn:aws:ses:{place}:configuration-set/{name}"
    open_to(topic.attributes, "ses.amazonaws.com", "sns:Publish", topic.arn, set_arn)
    open_to(
        queue.attributes, "sns.amazonaws.com", "sqs:SendMessage", queue.arn, topic.arn
    )
    topic.subscriptions.append(
        Subscription(f"{topic.arn}:1", topic.arn, "sqs", queue.arn, is_raw=True)
    )
    destination = Destination(name, True, list(EVENT_TYPES), topic.arn)  # noqa: FBT003
    region.sets[name] = ConfigurationSet(name, destinations={name: destination})
    region.topics[topic.arn] = topic
    region.queues[name] = queue
    account.publish(topic, VALIDATED)
    return queue


def open_to(
    attributes: dict[str, str], service: str, action: str, arn: str, source_arn: str
) -> None:
    """Write the policy that lets a service of AWS in, for that source alone."""
    attributes["Policy"] = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": action,
                    "Resource": arn,
                    "Condition": {
                        "StringEquals": {"AWS:SourceAccount": ACCOUNT_ID},
                        "ArnEquals": {"AWS:SourceArn": source_arn},
                    },
                }
            ],
        }
    )
