"""Amazon SNS: topics and who subscribed to them."""

import re
import uuid
from typing import Any

from email_settings.standin.account import ACCOUNT_ID
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.messaging import Subscription, Topic
from email_settings.standin.policies import MalformedPolicyError, read_policy
from email_settings.standin.refused import RefusedError

PENDING = "pending confirmation"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ATTRIBUTES = frozenset(
    {"DisplayName", "Policy", "DeliveryPolicy", "SignatureVersion", "KmsMasterKeyId"}
)


def create_topic(ask: Ask) -> Answer:
    """Make a topic; one of that name that is there already is the answer, too."""
    name = ask.text("Name")
    arn = ask.arn("sns", name)
    _allow(ask, "CreateTopic", arn)
    if not _NAME.fullmatch(name):
        raise _invalid("Topic Name")
    topic = ask.region.topics.setdefault(arn, Topic(arn))
    for key, value in ask.parameters.get("Attributes", {}).items():
        _set(topic, key, value)
    return {"TopicArn": arn}


def set_topic_attributes(ask: Ask) -> Answer:
    topic = _topic(ask, "SetTopicAttributes")
    _set(topic, ask.text("AttributeName"), ask.text("AttributeValue"))
    return {}


def get_topic_attributes(ask: Ask) -> Answer:
    topic = _topic(ask, "GetTopicAttributes")
    confirmed = [one for one in topic.subscriptions if one.is_confirmed]
    counts = {
        "SubscriptionsConfirmed": str(len(confirmed)),
        "SubscriptionsPending": str(len(topic.subscriptions) - len(confirmed)),
    }
    known = {"TopicArn": topic.arn, "Owner": ACCOUNT_ID, **counts}
    return {"Attributes": {**known, **topic.attributes}}


def subscribe(ask: Ask) -> Answer:
    topic = _topic(ask, "Subscribe")
    protocol, endpoint = ask.text("Protocol"), ask.text("Endpoint")
    if protocol not in {"sqs", "http", "https", "email"}:
        raise _invalid("Does not support this protocol string")
    same = (
        s
        for s in topic.subscriptions
        if (s.protocol, s.endpoint) == (protocol, endpoint)
    )
    found = next(same, None)
    if found is None:
        found = Subscription(
            arn=f"{topic.arn}:{uuid.uuid4()}",
            topic_arn=topic.arn,
            protocol=protocol,
            endpoint=endpoint,
            # A queue of the same account is asked nothing.
            token="" if protocol == "sqs" else uuid.uuid4().hex * 2,
        )
        topic.subscriptions.append(found)
    raw = ask.parameters.get("Attributes", {}).get("RawMessageDelivery")
    if raw is not None:
        found.is_raw = raw.lower() == "true"
    if found.is_posted and not found.is_confirmed:
        ask.account.ask_to_confirm(topic, found)
    return {"SubscriptionArn": found.arn if found.is_confirmed else PENDING}


def set_subscription_attributes(ask: Ask) -> Answer:
    found = _subscription(ask, "SetSubscriptionAttributes")
    if ask.text("AttributeName") != "RawMessageDelivery":
        raise _invalid("AttributeName")
    found.is_raw = ask.text("AttributeValue").lower() == "true"
    return {}


def get_subscription_attributes(ask: Ask) -> Answer:
    found = _subscription(ask, "GetSubscriptionAttributes")
    return {
        "Attributes": {
            **_shown(found),
            "RawMessageDelivery": str(found.is_raw).lower(),
            "PendingConfirmation": str(not found.is_confirmed).lower(),
        }
    }


def list_subscriptions_by_topic(ask: Ask) -> Answer:
    topic = _topic(ask, "ListSubscriptionsByTopic")
    return {"Subscriptions": [_shown(one) for one in topic.subscriptions]}


def confirm_subscription(ask: Ask) -> Answer:
    topic = _topic(ask, "ConfirmSubscription")
    for one in topic.subscriptions:
        if one.token and one.token == ask.text("Token"):
            one.token = ""
            return {"SubscriptionArn": one.arn}
    raise _invalid("Token")


def unsubscribe(ask: Ask) -> Answer:
    found = _subscription(ask, "Unsubscribe")
    topic = ask.region.topics[found.topic_arn]
    topic.subscriptions.remove(found)
    if found.is_posted:
        ask.account.say_that_it_ended(topic, found)
    return {}


def _topic(ask: Ask, action: str) -> Topic:
    arn = ask.text("TopicArn")
    _allow(ask, action, arn)
    if arn not in ask.region.topics:
        raise RefusedError("NotFound", "Topic does not exist", 404)
    return ask.region.topics[arn]


def _subscription(ask: Ask, action: str) -> Subscription:
    arn = ask.text("SubscriptionArn")
    _allow(ask, action, arn.rpartition(":")[0])
    every = (one for t in ask.region.topics.values() for one in t.subscriptions)
    found = next((one for one in every if one.arn == arn), None)
    if found is None:
        raise RefusedError("NotFound", "Subscription does not exist", 404)
    return found


def _shown(one: Subscription) -> dict[str, Any]:
    return {
        "SubscriptionArn": one.arn if one.is_confirmed else "PendingConfirmation",
        "Owner": ACCOUNT_ID,
        "Protocol": one.protocol,
        "Endpoint": one.endpoint,
        "TopicArn": one.topic_arn,
    }


def _set(topic: Topic, name: str, value: str) -> None:
    if name not in _ATTRIBUTES:
        raise _invalid("AttributeName")
    if name == "Policy":
        try:
            read_policy(value)
        except MalformedPolicyError as error:
            raise _invalid(f"Policy Error: {error}") from None
    topic.attributes[name] = value


def _allow(ask: Ask, action: str, arn: str) -> None:
    if not ask.may(f"SNS:{action}", arn):
        raise ask.refusal(f"SNS:{action}", arn, "AuthorizationError")


def _invalid(what: str) -> RefusedError:
    return RefusedError("InvalidParameter", f"Invalid parameter: {what}")


OPERATIONS: dict[str, Operation] = {
    "ConfirmSubscription": confirm_subscription,
    "CreateTopic": create_topic,
    "GetSubscriptionAttributes": get_subscription_attributes,
    "GetTopicAttributes": get_topic_attributes,
    "ListSubscriptionsByTopic": list_subscriptions_by_topic,
    "SetSubscriptionAttributes": set_subscription_attributes,
    "SetTopicAttributes": set_topic_attributes,
    "Subscribe": subscribe,
    "Unsubscribe": unsubscribe,
}
