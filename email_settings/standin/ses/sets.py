"""Configuration sets, and where the events of their mails go."""

import re
from typing import Any

from email_settings.standin.account import ACCOUNT_ID, ConfigurationSet, Destination
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.messaging import Topic
from email_settings.standin.refused import RefusedError
from email_settings.standin.ses.rights import allow

MOST_DESTINATIONS = 10
VALIDATED = "Successfully validated SNS topic for Amazon SES event publishing."
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OPTIONS = (
    "TrackingOptions",
    "DeliveryOptions",
    "ReputationOptions",
    "SendingOptions",
    "SuppressionOptions",
    "Tags",
)


def create_configuration_set(ask: Ask) -> Answer:
    name = ask.text("ConfigurationSetName")
    allow(ask, "ses:CreateConfigurationSet", f"configuration-set/{name}")
    if ask.parameters.get("Tags"):
        allow(ask, "ses:TagResource", f"configuration-set/{name}")
    if not _NAME.fullmatch(name):
        words = f"Invalid configuration set name <{name}>."
        raise RefusedError("BadRequestException", words)
    if name in ask.region.sets:
        words = f"Configuration set <{name}> already exists."
        raise RefusedError("AlreadyExistsException", words)
    options = {key: ask.parameters[key] for key in _OPTIONS if key in ask.parameters}
    ask.region.sets[name] = ConfigurationSet(name, options)
    return {}


def get_configuration_set(ask: Ask) -> Answer:
    known = _known(ask, "ses:GetConfigurationSet")
    answer = {"SendingOptions": {"SendingEnabled": True}, **known.options}
    return {"ConfigurationSetName": known.name, **answer}


def list_configuration_sets(ask: Ask) -> Answer:
    allow(ask, "ses:ListConfigurationSets")
    return {"ConfigurationSets": list(ask.region.sets)}


def delete_configuration_set(ask: Ask) -> Answer:
    del ask.region.sets[_known(ask, "ses:DeleteConfigurationSet").name]
    return {}


def put_suppression_options(ask: Ask) -> Answer:
    known = _known(ask, "ses:PutConfigurationSetSuppressionOptions")
    reasons = list(ask.parameters.get("SuppressedReasons", []))
    known.options["SuppressionOptions"] = {"SuppressedReasons": reasons}
    return {}


def create_event_destination(ask: Ask) -> Answer:
    known = _known(ask, "ses:CreateConfigurationSetEventDestination")
    name = ask.text("EventDestinationName")
    if name in known.destinations:
        words = f"Event destination <{name}> already exists."
        raise RefusedError("AlreadyExistsException", words)
    if len(known.destinations) == MOST_DESTINATIONS:
        raise RefusedError("LimitExceededException", "Too many event destinations.")
    known.destinations[name] = _destination(ask, known, name)
    return {}


def update_event_destination(ask: Ask) -> Answer:
    known = _known(ask, "ses:UpdateConfigurationSetEventDestination")
    name = ask.text("EventDestinationName")
    if name not in known.destinations:
        words = f"Event destination <{name}> does not exist."
        raise RefusedError("NotFoundException", words, 404)
    known.destinations[name] = _destination(ask, known, name)
    return {}


def get_event_destinations(ask: Ask) -> Answer:
    known = _known(ask, "ses:GetConfigurationSetEventDestinations")
    found: list[dict[str, Any]] = [
        {
            "Name": one.name,
            "Enabled": one.is_enabled,
            "MatchingEventTypes": one.types,
            **(
                {"SnsDestination": {"TopicArn": one.topic_arn}} if one.topic_arn else {}
            ),
        }
        for one in known.destinations.values()
    ]
    return {"EventDestinations": found}


def known_set(ask: Ask, name: str) -> ConfigurationSet:
    """Return the set. Raises RefusedError when it is not there."""
    if name not in ask.region.sets:
        words = f"Configuration set <{name}> does not exist."
        raise RefusedError("NotFoundException", words, 404)
    return ask.region.sets[name]


def open_topic(ask: Ask, known: ConfigurationSet, topic_arn: str) -> Topic | None:
    """Return the topic if its policy lets SES publish the events of the set."""
    topic = ask.region.topics.get(topic_arn)
    source = {
        "aws:sourceaccount": ACCOUNT_ID,
        "aws:sourcearn": ask.arn("ses", known.arn_part),
    }
    return topic if topic and topic.lets("ses.amazonaws.com", source) else None


def _known(ask: Ask, action: str) -> ConfigurationSet:
    name = ask.text("ConfigurationSetName")
    allow(ask, action, f"configuration-set/{name}")
    return known_set(ask, name)


def _destination(ask: Ask, known: ConfigurationSet, name: str) -> Destination:
    """Return what was given, after SES has tried the topic."""
    given = ask.parameters.get("EventDestination", {})
    topic_arn = given.get("SnsDestination", {}).get("TopicArn", "")
    if not given.get("MatchingEventTypes"):
        raise RefusedError("BadRequestException", "No event types are given.")
    if topic_arn and topic_arn not in ask.region.topics:
        raise RefusedError("BadRequestException", f"SNS topic <{topic_arn}> not found.")
    if topic := open_topic(ask, known, topic_arn):
        ask.account.publish(topic, VALIDATED)
    return Destination(
        name, bool(given.get("Enabled")), given["MatchingEventTypes"], topic_arn
    )


OPERATIONS: dict[str, Operation] = {
    "CreateConfigurationSet": create_configuration_set,
    "CreateConfigurationSetEventDestination": create_event_destination,
    "DeleteConfigurationSet": delete_configuration_set,
    "GetConfigurationSet": get_configuration_set,
    "GetConfigurationSetEventDestinations": get_event_destinations,
    "ListConfigurationSets": list_configuration_sets,
    "PutConfigurationSetSuppressionOptions": put_suppression_options,
    "UpdateConfigurationSetEventDestination": update_event_destination,
}
