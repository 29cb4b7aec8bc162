"""The template: AWS's own linter finds nothing, and moto builds what it knows."""

import json
from collections.abc import Iterable
from typing import Any

import boto3
import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from pytest_django.fixtures import Settings

from email_settings.models import SesSettings
from email_settings.provisioning import cloudformation
from email_settings.provisioning.names import Names
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import Feature
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.test_policy import ACCOUNT, EVERY_CHOICE, sender

HOSTILE = '"}]},{"Ref":"X"}$(id)`id`\'${AWS::AccountId}\\n@larkfield.example'
NOT_IN_MOTO = {
    "AWS::SES::ConfigurationSet",
    "AWS::SES::ConfigurationSetEventDestination",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


def template(features: Iterable[Feature], row: SesSettings) -> str:
    return cloudformation.template(features, Place.of(row), Names.new())


def findings(text: str, region: str = "eu-west-1") -> list[str]:
    return [str(match) for match in lint(text, config=ManualArgs(regions=[region]))]


def parsed(*features: Feature, **values: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(template(features, sender(**values)))
    return document


@pytest.mark.parametrize("choice", EVERY_CHOICE)
@pytest.mark.parametrize("is_sandbox", [True, False])
def test_the_linter_finds_nothing(
    choice: tuple[Feature, ...],
    is_sandbox: bool,  # noqa: FBT001 - a parameter
) -> None:
    assert findings(template(choice, sender(is_sandbox=is_sandbox))) == []


def test_the_linter_would_find_something() -> None:
    text = template([Feature.EVENTS], sender())
    assert findings(text.replace('"SNS', '"Sns').replace('"TopicARN"', '"TopicArn"'))


@pytest.mark.parametrize("region", ["us-gov-west-1", "eu-central-1"])
def test_other_regions(region: str) -> None:
    text = template(Feature, sender(region=region))
    assert findings(text, region) == []
    assert json.loads(text)["Rules"]["Region"]["Assertions"][0]["Assert"] == {
        "Fn::Contains": [[region], {"Ref": "AWS::Region"}]
    }


def test_a_hostile_sender_stays_a_value() -> None:
    text = template(Feature, sender(from_email=HOSTILE, is_sandbox=False))
    assert findings(text) == []
    assert set(json.loads(text)["Resources"]) == set(parsed(*Feature)["Resources"])
    [user_policy] = json.loads(text)["Resources"]["User"]["Properties"]["Policies"]
    send = user_policy["PolicyDocument"]["Statement"][0]
    # "$" alone has a meaning to IAM, and is written as a value
    said = send["Condition"]["StringEquals"]["ses:FromAddress"]
    assert said.replace("${$}", "$") == HOSTILE
    # no function of CloudFormation that would fill in names
    assert "Fn::Sub" not in text


def test_the_account_is_filled_in_by_cloudformation() -> None:
    text = template(Feature, sender())
    assert ACCOUNT not in text
    assert '"Ref": "AWS::AccountId"' in text


def test_no_access_key_is_made_and_nothing_secret_put_out() -> None:
    document = parsed(*Feature)
    kinds = {resource["Type"] for resource in document["Resources"].values()}
    assert "AWS::IAM::AccessKey" not in kinds
    assert "AWS::SecretsManager::Secret" not in kinds
    assert "SecretAccessKey" not in json.dumps(document)
    assert set(document["Outputs"]) == {
        "UserName",
        "ConfigurationSetName",
        "QueueUrl",
        "TopicArn",
    }


def test_without_events_there_is_a_user_and_nothing_else() -> None:
    assert set(parsed(Feature.SEND, Feature.READ)["Resources"]) == {"User"}


def test_events_come_by_a_topic_with_sha256_to_a_queue_that_loses_nothing() -> None:
    resources = parsed(Feature.EVENTS)["Resources"]
    assert resources["Topic"]["Properties"]["SignatureVersion"] == "2"
    assert resources["Subscription"]["Properties"]["RawMessageDelivery"] is True
    queue = resources["Queue"]["Properties"]
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    # Amazon SES tries to publish at once
    assert "TopicPolicy" in resources["EventDestination"]["DependsOn"]


def test_webhook_is_subscribed_where_it_can_be_posted_to(settings: Settings) -> None:
    chosen = (Feature.EVENTS, Feature.WEBHOOK)
    settings.SITE_URL = "http://127.0.0.1:8000"
    assert "Webhook" not in parsed(*chosen)["Resources"]
    settings.SITE_URL = "https://help.larkfield.example"
    assert "Webhook" not in parsed(Feature.EVENTS)["Resources"]
    assert "Webhook" not in parsed(Feature.WEBHOOK)["Resources"]
    made = parsed(*chosen)["Resources"]["Webhook"]["Properties"]
    assert made["Endpoint"] == "https://help.larkfield.example/webhooks/ses/"
    assert made["Protocol"] == "https"
    assert made["DeliveryPolicy"]["healthyRetryPolicy"]["numRetries"] >= 20
    assert "RawMessageDelivery" not in made
    assert findings(template(chosen, sender())) == []


def test_only_our_set_publishes_and_only_our_topic_delivers() -> None:
    resources = parsed(Feature.EVENTS)["Resources"]
    [publish] = resources["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert set(publish["Condition"]["StringEquals"]) == {
        "AWS:SourceAccount",
        "AWS:SourceArn",
    }
    [deliver] = resources["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert set(deliver["Condition"]) == {"ArnEquals"}


def test_a_stack_takes_over_nothing_that_is_connected() -> None:
    connected = parsed(
        *Feature,
        configuration_set="theirs",
        event_queue_url=f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/theirs",
        principal_arn=f"arn:aws:iam::{ACCOUNT}:user/theirs",
    )
    assert "theirs" not in json.dumps(connected)


def test_moto_makes_the_stack(moto_url: str) -> None:
    row = sender(from_email=HOSTILE)
    document = json.loads(template(Feature, row))
    for name, resource in list(document["Resources"].items()):
        if resource["Type"] in NOT_IN_MOTO:
            del document["Resources"][name]
    del document["Outputs"]["ConfigurationSetName"]
    session = boto3.session.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="eu-west-1",
    )
    stacks = session.client("cloudformation")
    stacks.create_stack(
        StackName="ticketflow",
        TemplateBody=json.dumps(document),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    [stack] = stacks.describe_stacks(StackName="ticketflow")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    place = Place.of(row)  # moto's account is the same
    assert outputs["TopicArn"] == place.topic
    users = session.client("iam").list_users()["Users"]
    assert [user["UserName"] for user in users] == [outputs["UserName"]]
    attributes = session.client("sqs").get_queue_attributes(
        QueueUrl=outputs["QueueUrl"], AttributeNames=["All"]
    )["Attributes"]
    assert attributes["QueueArn"] == place.queue
    assert json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"] == (
        place.dead_letters
    )
