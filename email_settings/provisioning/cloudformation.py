"""The set-up as a CloudFormation template.

It makes no access key. Whatever a stack outputs is readable for everybody in the account
who may describe stacks, for as long as the stack exists, and AWS Secrets Manager would
keep a second copy of the secret that nobody needs once it is in Email Settings. A key
made in the console is shown once and lies nowhere.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from email_settings.provisioning import making
from email_settings.provisioning.names import Names
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import Feature, policy

FILE_NAME = "ticketflow-ses.json"


def template(features: Iterable[Feature], place: Place, names: Names) -> str:
    """Return the template as JSON, which CloudFormation takes like YAML.

    `names` are new ones: a stack can't take over what is there already, so it makes
    a user of its own, also when the running key has one.
    """
    chosen = set(features)
    here, mark = making.with_open_account(replace(place, user_arn="", names=names))
    resources = _user(chosen, here)
    outputs = _user_outputs(here)
    if Feature.EVENTS in chosen:
        resources |= _events(here)
        outputs |= _event_outputs(here)
        if Feature.WEBHOOK in chosen and making.webhook_url():
            resources |= _webhook()
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What TicketFlow needs to send mail through Amazon SES",
        "Rules": {
            "Region": {
                "Assertions": [
                    {
                        "Assert": {
                            "Fn::Contains": [[here.region], {"Ref": "AWS::Region"}]
                        },
                        "AssertDescription": "This template is for the region "
                        f"{here.region}. Choose it at the top right of the console.",
                    }
                ]
            }
        },
        "Resources": resources,
        "Outputs": outputs,
    }
    return json.dumps(_with_account(document, mark), indent=2)


def _user(chosen: set[Feature], place: Place) -> dict[str, Any]:
    return {
        "User": {
            "Type": "AWS::IAM::User",
            "Properties": {
                "UserName": place.names.user,
                "Policies": [
                    {
                        "PolicyName": "ticketflow-ses",
                        "PolicyDocument": policy(chosen, place),
                    }
                ],
            },
        }
    }


def _user_outputs(place: Place) -> dict[str, Any]:
    return {
        "UserName": {
            "Description": "Make an access key for this user: IAM, Users, this name, "
            "Security credentials, Create access key",
            "Value": {"Ref": "User"},
        }
    }


def _events(place: Place) -> dict[str, Any]:
    names = place.names
    return {
        "ConfigurationSet": {
            "Type": "AWS::SES::ConfigurationSet",
            "Properties": {
                "Name": names.configuration_set,
                "SuppressionOptions": {
                    "SuppressedReasons": list(making.SUPPRESSED_REASONS)
                },
            },
        },
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"TopicName": names.topic, "SignatureVersion": "2"},
        },
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {
                "Topics": [{"Ref": "Topic"}],
                "PolicyDocument": making.topic_policy(place),
            },
        },
        "DeadLetters": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": names.dead_letters,
                "MessageRetentionPeriod": making.KEEP_SECONDS,
                "SqsManagedSseEnabled": True,
            },
        },
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": names.queue,
                "MessageRetentionPeriod": making.KEEP_SECONDS,
                "VisibilityTimeout": making.HIDE_SECONDS,
                "ReceiveMessageWaitTimeSeconds": making.POLL_SECONDS,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {
                    "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]},
                    "maxReceiveCount": making.TRIES,
                },
            },
        },
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": making.queue_policy(place),
            },
        },
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "DependsOn": "QueuePolicy",
            "Properties": {
                "TopicArn": {"Ref": "Topic"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
                "RawMessageDelivery": True,
            },
        },
        # Amazon SES tries the topic at once, and what it says first should arrive, too.
        "EventDestination": {
            "Type": "AWS::SES::ConfigurationSetEventDestination",
            "DependsOn": ["TopicPolicy", "Subscription"],
            "Properties": {
                "ConfigurationSetName": {"Ref": "ConfigurationSet"},
                "EventDestination": {
                    "Name": names.event_destination,
                    "Enabled": True,
                    "MatchingEventTypes": list(making.EVENT_TYPES),
                    "SnsDestination": {"TopicARN": {"Ref": "Topic"}},
                },
            },
        },
    }


def _webhook() -> dict[str, Any]:
    """Return the subscription; it waits until TicketFlow confirms it."""
    return {
        "Webhook": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Topic"},
                "Protocol": "https",
                "Endpoint": making.webhook_url(),
                "DeliveryPolicy": making.DELIVERY_POLICY,
            },
        }
    }


def _event_outputs(place: Place) -> dict[str, Any]:
    return {
        "ConfigurationSetName": {
            "Description": "Email Settings, Delivery events: Configuration set",
            "Value": {"Ref": "ConfigurationSet"},
        },
        "QueueUrl": {
            "Description": "Email Settings, Delivery events: Event queue URL",
            "Value": {"Ref": "Queue"},
        },
        "TopicArn": {
            "Description": "Email Settings, Delivery events: Event topic ARN",
            "Value": {"Ref": "Topic"},
        },
    }


def _with_account(part: Any, mark: str) -> Any:
    """Put CloudFormation's own word for the account wherever the mark stands."""
    if isinstance(part, dict):
        return {name: _with_account(value, mark) for name, value in part.items()}
    if isinstance(part, list):
        return [_with_account(value, mark) for value in part]
    if not isinstance(part, str) or mark not in part:
        return part
    account = {"Ref": "AWS::AccountId"}
    first, *others = part.split(mark)
    pieces: list[Any] = [first]
    for other in others:
        pieces += [account, other]
    pieces = [piece for piece in pieces if piece]
    return pieces[0] if len(pieces) == 1 else {"Fn::Join": ["", pieces]}
