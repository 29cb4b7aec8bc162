"""The rest of the stand-in for AWS, asked through the SDK's own clients."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import dns.nameserver
import dns.resolver
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from email_settings.standin import presets
from email_settings.standin.account import (
    ACCOUNT_ID,
    EVERYTHING,
    Account,
    Destination,
    Identity,
    Key,
    Region,
)
from email_settings.standin.dns import answering
from email_settings.standin.server import running
from email_settings.standin.zone import Answer
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET

DOMAIN = "larkfield.example"
HERE = "eu-west-1"
VALIDATED = "Successfully validated SNS topic for Amazon SES event publishing."
ONCE = Config(retries={"total_max_attempts": 1})


@dataclass
class Aws:
    """The account behind the stand-in, and clients that ask it."""

    account: Account
    url: str

    @property
    def region(self) -> Region:
        return self.account.region(HERE)

    @property
    def key(self) -> Key:
        return self.account.keys[ACCESS_KEY_ID]

    def client(self, service: str, region: str = HERE, **keys: str) -> Any:
        pair = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET}
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self.url,
            config=ONCE,
            **{**pair, **keys},
        )

    def send(self, recipient: str, name: str = "", **tags: str) -> str:
        mime = (
            f"From: Help <help@{DOMAIN}>\r\nTo: {recipient}\r\nSubject: Hello\r\n"
            "Message-ID: <1@larkfield.example>\r\n\r\nHello"
        )
        named = {"ConfigurationSetName": name} if name else {}
        answer = self.client("sesv2").send_email(
            Destination={"ToAddresses": [recipient]},
            Content={"Raw": {"Data": mime.encode()}},
            EmailTags=[{"Name": k, "Value": v} for k, v in tags.items()],
            **named,
        )
        return str(answer["MessageId"])

    def receive(self, name: str = "ticketflow-ses", **values: Any) -> list[str]:
        """Take what is in a queue, and delete it."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **values)
        taken = answer.get("Messages", [])
        if taken:
            entries = [
                {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]}
                for number, one in enumerate(taken)
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return [one["Body"] for one in taken]

    def kinds(self, **values: Any) -> list[str]:
        """Take the events that have come, and return their types."""
        return [json.loads(body)["eventType"] for body in self.receive(**values)]


@pytest.fixture
def aws() -> Iterator[Aws]:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region(HERE).identities[DOMAIN] = Identity(DOMAIN)
    with running(account) as server:
        yield Aws(account, server.url)


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


# The account


def test_leaving_the_sandbox_is_asked_for_once_at_a_time(aws: Aws) -> None:
    ses = aws.client("sesv2")
    aws.region.is_production = False
    assert "Details" not in ses.get_account()
    asked = {
        "MailType": "TRANSACTIONAL",
        "WebsiteURL": "https://help.larkfield.example",
        "UseCaseDescription": "Answers to tickets.",
        "ProductionAccessEnabled": True,
    }
    ses.put_account_details(**asked)
    details = ses.get_account()["Details"]
    assert details["ReviewDetails"]["Status"] == "PENDING"
    assert details["ReviewDetails"]["CaseId"]
    assert details["UseCaseDescription"] == "Answers to tickets."
    assert ses.get_account()["ProductionAccessEnabled"] is False

    with pytest.raises(ses.exceptions.ConflictException) as caught:
        ses.put_account_details(**asked)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409

    aws.region.review.status = "DENIED"
    ses.put_account_details(**asked)


def test_sending_is_switched_off_and_on_through_the_api(aws: Aws) -> None:
    ses = aws.client("sesv2")
    ses.put_account_sending_attributes(SendingEnabled=False)
    assert ses.get_account()["SendingEnabled"] is False
    with pytest.raises(ClientError, match="disabled for this account"):
        aws.send("hannah@elsewhere.example")
    ses.put_account_sending_attributes(SendingEnabled=True)
    assert aws.send("hannah@elsewhere.example")


# Senders


def test_a_domain_is_verified_once_its_records_are_in_dns(aws: Aws) -> None:
    ses = aws.client("sesv2")
    made = ses.create_email_identity(EmailIdentity="New.example")["DkimAttributes"]
    assert len(made["Tokens"]) == 3
    assert made["SigningHostedZone"] == "dkim.amazonses.com"
    said = ses.get_email_identity(EmailIdentity="new.example")
    assert said["VerificationStatus"] == "PENDING"
    assert said["VerificationInfo"]["ErrorType"] == "HOST_NOT_FOUND"

    zone = aws.account.zone
    for token in made["Tokens"]:
        zone.publish(f"{token}._domainkey.new.example", "CNAME", "elsewhere.example")
    said = ses.get_email_identity(EmailIdentity="new.example")
    assert said["VerificationInfo"]["ErrorType"] == "INVALID_VALUE"
    zone.broken[""] = Answer.SERVER_FAILS
    said = ses.get_email_identity(EmailIdentity="new.example")
    assert said["VerificationInfo"]["ErrorType"] == "DNS_SERVER_ERROR"
    zone.broken.clear()

    aws.account.looks_at_dns = False
    for token in made["Tokens"]:
        name = f"{token}._domainkey.new.example"
        zone.put(name, "CNAME", f"{token}.dkim.amazonses.com")
    said = ses.get_email_identity(EmailIdentity="new.example")
    assert said["VerifiedForSendingStatus"] is False
    aws.account.looks_at_dns = True
    said = ses.get_email_identity(EmailIdentity="new.example")
    assert said["VerifiedForSendingStatus"] is True
    assert said["DkimAttributes"]["Status"] == "SUCCESS"


def test_some_regions_have_a_zone_of_their_own_for_dkim(aws: Aws) -> None:
    ses = aws.client("sesv2", "eu-south-1")
    made = ses.create_email_identity(EmailIdentity=DOMAIN)["DkimAttributes"]
    assert made["SigningHostedZone"] == "dkim.eu-south-1.amazonses.com"


def test_mail_from_wants_one_mx_and_spf(aws: Aws) -> None:
    ses, zone = aws.client("sesv2"), aws.account.zone

    def status() -> str:
        said = ses.get_email_identity(EmailIdentity=DOMAIN)
        return str(said["MailFromAttributes"]["MailFromDomainStatus"])

    with pytest.raises(ClientError, match="not subdomain"):
        ses.put_email_identity_mail_from_attributes(
            EmailIdentity=DOMAIN, MailFromDomain="bounce.elsewhere.example"
        )
    bounce = f"bounce.{DOMAIN}"
    ses.put_email_identity_mail_from_attributes(
        EmailIdentity=DOMAIN,
        MailFromDomain=bounce,
        BehaviorOnMxFailure="REJECT_MESSAGE",
    )
    assert status() == "PENDING"
    with pytest.raises(ClientError, match="Mail FROM domain is not verified"):
        aws.send("hannah@elsewhere.example")
    zone.publish(bounce, "MX", "10 feedback-smtp.eu-west-1.amazonses.com")
    zone.publish(bounce, "TXT", "v=spf1 include:amazonses.com ~all")
    assert status() == "SUCCESS"
    assert aws.send("hannah@elsewhere.example")
    zone.publish(bounce, "MX", "20 mail.larkfield.example")
    assert status() == "FAILED"


# One call a second


def test_all_but_sends_are_taken_once_a_second_where_that_is_wanted(aws: Aws) -> None:
    ses = aws.client("sesv2")
    aws.account.one_call_a_second = True
    ses.get_account()
    with pytest.raises(ClientError, match="Rate exceeded") as caught:
        ses.list_email_identities()
    assert code_of(caught) == "TooManyRequestsException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    aws.send("hannah@elsewhere.example")
    aws.client("sesv2", "us-east-1").get_account()  # each region has its own turn
    aws.client("sts").get_caller_identity()
    aws.account.clock_offset += timedelta(seconds=1)
    ses.get_account()

    calls = list(aws.account.calls)
    assert [call.action for call in calls[:2]] == [
        "ses:GetAccount",
        "ses:ListEmailIdentities",
    ]
    assert [call.refused for call in calls[:2]] == ["", "TooManyRequestsException"]
    assert calls[0].access_key_id == ACCESS_KEY_ID
    assert calls[0].region == HERE
    assert len(aws.account.calls_of("ses:GetAccount")) == 3


# Rights


def test_a_whole_policy_is_read_as_iam_reads_it(aws: Aws) -> None:
    aws.key.actions = ()
    aws.key.policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["ses:SendRawEmail"],
                "Resource": [
                    f"arn:aws:ses:{HERE}:{ACCOUNT_ID}:identity/{DOMAIN}",
                    f"arn:aws:ses:{HERE}:{ACCOUNT_ID}:configuration-set/ticketflow-*",
                ],
                "Condition": {"StringEquals": {"ses:FromAddress": f"help@{DOMAIN}"}},
            },
            {"Effect": "Allow", "Action": "ses:Get*", "Resource": "*"},
            {"Effect": "Deny", "Action": "ses:GetEmailIdentity", "Resource": "*"},
        ],
    }
    presets.connect_events(aws.account, aws.region)
    presets.connect_events(aws.account, aws.region, "others")
    assert aws.send("hannah@elsewhere.example", "ticketflow-ses")
    with pytest.raises(ClientError, match="configuration-set/others"):
        aws.send("hannah@elsewhere.example", "others")
    aws.client("sesv2").get_account()
    with pytest.raises(ClientError) as caught:
        aws.client("sesv2").get_email_identity(EmailIdentity=DOMAIN)
    assert code_of(caught) == "AccessDeniedException"
    aws.key.policy["Statement"][0]["Condition"] = {
        "StringEquals": {"ses:FromAddress": "other@larkfield.example"}
    }
    with pytest.raises(ClientError, match="ses:SendRawEmail"):
        aws.send("hannah@elsewhere.example")


def test_the_sandbox_asks_for_rights_about_the_recipient_too(aws: Aws) -> None:
    aws.region.is_production = False
    aws.region.identities["hannah@elsewhere.example"] = Identity(
        "hannah@elsewhere.example"
    )
    own = f"arn:aws:ses:{HERE}:{ACCOUNT_ID}:identity/{DOMAIN}"
    statement = {"Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": own}
    aws.key.actions, aws.key.policy = (), {"Statement": statement}
    with pytest.raises(ClientError, match="identity/hannah@"):
        aws.send("hannah@elsewhere.example")
    statement["Resource"] = "*"
    assert aws.send("hannah@elsewhere.example")


@pytest.mark.parametrize(
    ("service", "ask", "code"),
    [
        ("sns", lambda c: c.create_topic(Name="x"), "AuthorizationError"),
        ("sqs", lambda c: c.create_queue(QueueName="x"), "AccessDenied"),
        ("iam", lambda c: c.list_access_keys(), "AccessDenied"),
        ("sesv2", lambda c: c.get_account(), "AccessDeniedException"),
    ],
)
def test_every_service_refuses_what_a_key_may_not_do(
    aws: Aws, service: str, ask: Any, code: str
) -> None:
    aws.key.actions = ()
    with pytest.raises(ClientError) as caught:
        ask(aws.client(service))
    assert code_of(caught) == code
    assert "is not authorized to perform" in str(caught.value)
    assert aws.client("sts").get_caller_identity()["Account"] == ACCOUNT_ID


def test_a_region_that_is_not_enabled_knows_no_key_in_any_service(aws: Aws) -> None:
    aws.region.is_enabled = False
    for service, ask in [
        ("sts", "get_caller_identity"),
        ("sesv2", "get_account"),
    ]:
        with pytest.raises(ClientError, match="security token"):
            getattr(aws.client(service), ask)()
    aws.client("sts", "us-east-1").get_caller_identity()


# Keys and roles


def test_a_user_has_two_keys_at_most(aws: Aws) -> None:
    iam = aws.client("iam")
    made = iam.create_access_key()["AccessKey"]
    assert made["UserName"] == "ticketflow-ses"
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.create_access_key()
    new = {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
    }
    unused = iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])
    assert unused["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    aws.client("sesv2", **new).get_account()  # the user's rights are the new key's, too
    used = iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])
    assert used["AccessKeyLastUsed"]["ServiceName"] == "ses"
    listed = iam.list_access_keys()["AccessKeyMetadata"]
    assert {one["AccessKeyId"] for one in listed} == {
        ACCESS_KEY_ID,
        made["AccessKeyId"],
    }
    assert all(one["CreateDate"] <= datetime.now(UTC) for one in listed)

    iam.update_access_key(AccessKeyId=made["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError) as caught:
        aws.client("sesv2", **new).get_account()
    assert code_of(caught) == "UnrecognizedClientException"
    iam.delete_access_key(AccessKeyId=made["AccessKeyId"])
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.delete_access_key(AccessKeyId=made["AccessKeyId"])


def test_a_key_that_is_brand_new_works_after_a_while(aws: Aws) -> None:
    aws.account.new_keys_take = timedelta(seconds=30)
    made = aws.client("iam").create_access_key()["AccessKey"]
    new = {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
    }
    with pytest.raises(ClientError, match="security token"):
        aws.client("sts", **new).get_caller_identity()
    aws.account.clock_offset += timedelta(seconds=30)
    aws.client("sts", **new).get_caller_identity()


def test_a_user_may_do_what_its_policies_say(aws: Aws) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName="mailer")
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName="mailer")
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.put_user_policy(UserName="mailer", PolicyName="p", PolicyDocument="{}")
    made = iam.create_access_key(UserName="mailer")["AccessKey"]
    new = {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
    }
    with pytest.raises(ClientError):
        aws.client("sesv2", **new).get_account()
    own = f"arn:aws:iam::{ACCOUNT_ID}:user/${{aws:username}}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "ses:GetAccount", "Resource": "*"},
            {"Effect": "Allow", "Action": "iam:ListAccessKeys", "Resource": own},
        ],
    }
    iam.put_user_policy(
        UserName="mailer", PolicyName="p", PolicyDocument=json.dumps(policy)
    )
    aws.client("sesv2", **new).get_account()
    aws.client("iam", **new).list_access_keys()
    with pytest.raises(ClientError, match="iam:ListAccessKeys"):
        aws.client("iam", **new).list_access_keys(UserName="ticketflow-ses")


def test_a_role_is_assumed_with_its_external_id_for_a_while(aws: Aws) -> None:
    role = aws.account.add_role("mail", external_id="tf-1", actions={"ses:GetAccount"})
    sts = aws.client("sts")
    wanted = {"RoleArn": role.arn, "RoleSessionName": "ticketflow"}
    with pytest.raises(ClientError, match="sts:AssumeRole") as caught:
        sts.assume_role(**wanted, ExternalId="other")
    assert code_of(caught) == "AccessDenied"
    given = sts.assume_role(**wanted, ExternalId="tf-1")["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA")
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
    }
    token = {"aws_session_token": given["SessionToken"]}
    who = aws.client("sts", **keys, **token).get_caller_identity()["Arn"]
    assert who.endswith(":assumed-role/mail/ticketflow")
    aws.client("sesv2", **keys, **token).get_account()
    with pytest.raises(ClientError, match="ses:ListEmailIdentities"):
        aws.client("sesv2", **keys, **token).list_email_identities()

    for wrong in ({}, {"aws_session_token": "x"}):
        with pytest.raises(ClientError, match="is invalid"):
            aws.client("sesv2", **keys, **wrong).get_account()
    aws.account.keys[given["AccessKeyId"]].expires_at = aws.account.now()
    with pytest.raises(ClientError) as caught:
        aws.client("sesv2", **keys, **token).get_account()
    assert code_of(caught) == "ExpiredTokenException"

    aws.key.actions = {"ses:SendRawEmail"}
    with pytest.raises(ClientError, match="sts:AssumeRole"):
        sts.assume_role(**wanted, ExternalId="tf-1")


# Suppression


def test_the_suppression_list_knows_addresses_as_they_were_typed(aws: Aws) -> None:
    ses = aws.client("sesv2")
    aws.region.is_production = False
    with pytest.raises(ClientError, match="sandbox"):
        ses.put_suppressed_destination(EmailAddress="A@b.example", Reason="BOUNCE")
    aws.region.is_production = True
    for name in ("A", "b", "c"):
        ses.put_suppressed_destination(
            EmailAddress=f"{name}@b.example",
            Reason="COMPLAINT" if name == "c" else "BOUNCE",
        )
    assert ses.get_suppressed_destination(EmailAddress="A@b.example")
    for ask in (ses.get_suppressed_destination, ses.delete_suppressed_destination):
        with pytest.raises(ses.exceptions.NotFoundException):
            ask(EmailAddress="a@b.example")

    first = ses.list_suppressed_destinations(Reasons=["BOUNCE"], PageSize=1)
    rest = ses.list_suppressed_destinations(
        Reasons=["BOUNCE"], PageSize=1, NextToken=first["NextToken"]
    )
    listed = [
        one["EmailAddress"]
        for page in (first, rest)
        for one in page["SuppressedDestinationSummaries"]
    ]
    assert listed == ["A@b.example", "b@b.example"]
    assert "NextToken" not in rest
    later = datetime.now(UTC) + timedelta(hours=1)
    nothing = ses.list_suppressed_destinations(StartDate=later)
    assert nothing["SuppressedDestinationSummaries"] == []

    presets.connect_events(aws.account, aws.region)
    aws.receive()
    assert aws.send("a@B.example", "ticketflow-ses")  # it is taken all the same
    send, bounce = (json.loads(body) for body in aws.receive())
    assert send["eventType"] == "Send"
    assert bounce["bounce"]["bounceSubType"] == "OnAccountSuppressionList"
    ses.delete_suppressed_destination(EmailAddress="A@b.example")
    aws.send("a@B.example", "ticketflow-ses")
    assert aws.kinds() == ["Send", "Delivery"]


# Configuration sets and events


def test_events_are_connected_step_by_step_as_with_aws(aws: Aws) -> None:
    ses, sns, sqs = (aws.client(name) for name in ("sesv2", "sns", "sqs"))
    with pytest.raises(ses.exceptions.NotFoundException, match="does not exist"):
        aws.send("hannah@elsewhere.example", "tf")
    ses.create_configuration_set(
        ConfigurationSetName="tf", DeliveryOptions={"TlsPolicy": "OPTIONAL"}
    )
    with pytest.raises(ses.exceptions.AlreadyExistsException):
        ses.create_configuration_set(ConfigurationSetName="tf")
    known = ses.get_configuration_set(ConfigurationSetName="tf")
    assert known["SendingOptions"]["SendingEnabled"] is True
    ses.put_configuration_set_suppression_options(
        ConfigurationSetName="tf", SuppressedReasons=["BOUNCE"]
    )
    known = ses.get_configuration_set(ConfigurationSetName="tf")
    assert known["SuppressionOptions"]["SuppressedReasons"] == ["BOUNCE"]

    topic = sns.create_topic(Name="tf")["TopicArn"]
    assert sns.create_topic(Name="tf")["TopicArn"] == topic
    url = sqs.create_queue(QueueName="tf", Attributes={"VisibilityTimeout": "120"})[
        "QueueUrl"
    ]
    with pytest.raises(ClientError):
        sqs.create_queue(QueueName="tf", Attributes={"VisibilityTimeout": "60"})
    said = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = said["Attributes"]["QueueArn"]
    subscribed = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    subscription = subscribed["SubscriptionArn"]
    [listed] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed["Endpoint"] == arn
    destination = {
        "Enabled": True,
        "MatchingEventTypes": ["BOUNCE", "DELIVERY"],
        "SnsDestination": {"TopicArn": topic},
    }
    named = {"ConfigurationSetName": "tf", "EventDestinationName": "tf"}

    def let_in(policy_of: str) -> None:
        attributes: dict[str, str] = {}
        set_arn = f"arn:aws:ses:{HERE}:{ACCOUNT_ID}:configuration-set/tf"
        if policy_of == "topic":
            presets.open_to(
                attributes, "ses.amazonaws.com", "sns:Publish", topic, set_arn
            )
            sns.set_topic_attributes(
                TopicArn=topic,
                AttributeName="Policy",
                AttributeValue=attributes["Policy"],
            )
        else:
            presets.open_to(
                attributes, "sns.amazonaws.com", "sqs:SendMessage", arn, topic
            )
            sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)

    # Each policy that is missing keeps everything back.
    ses.create_configuration_set_event_destination(
        **named, EventDestination=destination
    )
    let_in("topic")
    ses.update_configuration_set_event_destination(
        **named, EventDestination=destination
    )
    assert aws.receive("tf") == []
    let_in("queue")
    ses.update_configuration_set_event_destination(
        **named, EventDestination=destination
    )
    [wrapped] = (json.loads(body) for body in aws.receive("tf"))
    assert wrapped["Type"] == "Notification"
    assert wrapped["Message"] == VALIDATED
    assert wrapped["TopicArn"] == topic

    sns.set_subscription_attributes(
        SubscriptionArn=subscription,
        AttributeName="RawMessageDelivery",
        AttributeValue="true",
    )
    message_id = aws.send("hannah@elsewhere.example", "tf", tf_msg="7")
    [body] = aws.receive("tf")  # Send is none of the types that are wanted
    event = json.loads(body)
    assert event["eventType"] == "Delivery"
    assert event["mail"]["messageId"] == message_id
    assert event["mail"]["tags"]["tf_msg"] == ["7"]
    assert event["mail"]["tags"]["ses:configuration-set"] == ["tf"]
    assert event["mail"]["commonHeaders"]["messageId"] == "<1@larkfield.example>"
    assert {"name": "Subject", "value": "Hello"} in event["mail"]["headers"]
    assert event["delivery"]["recipients"] == ["hannah@elsewhere.example"]

    [shown] = ses.get_configuration_set_event_destinations(ConfigurationSetName="tf")[
        "EventDestinations"
    ]
    assert shown["SnsDestination"]["TopicArn"] == topic
    ses.delete_configuration_set(ConfigurationSetName="tf")
    with pytest.raises(ses.exceptions.NotFoundException):
        ses.get_configuration_set_event_destinations(ConfigurationSetName="tf")


@pytest.mark.parametrize(
    ("recipient", "kinds", "detail"),
    [
        ("success@simulator.amazonses.com", ["Send", "Delivery"], ""),
        ("bounce+7@simulator.amazonses.com", ["Send", "Bounce"], "General"),
        (
            "complaint@simulator.amazonses.com",
            ["Send", "Delivery", "Complaint"],
            "abuse",
        ),
        (
            "ooto@simulator.amazonses.com",
            ["Send", "Delivery", "Bounce"],
            "Transient",
        ),
        ("suppressionlist@simulator.amazonses.com", ["Send", "Bounce"], "Suppressed"),
    ],
)
def test_the_simulator_behaves_as_it_is_told(
    aws: Aws, recipient: str, kinds: list[str], detail: str
) -> None:
    presets.connect_events(aws.account, aws.region)
    assert aws.receive() == [VALIDATED]
    aws.send(recipient, "ticketflow-ses")
    events = [json.loads(body) for body in aws.receive()]
    assert [event["eventType"] for event in events] == kinds
    assert detail in json.dumps(events[-1])
    assert aws.region.suppressed == {}


def test_an_address_that_bounces_is_suppressed_from_then_on(aws: Aws) -> None:
    presets.connect_events(aws.account, aws.region)
    aws.receive()
    aws.account.bouncing.add("hannah@elsewhere.example")
    aws.send("Hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds() == ["Send", "Bounce"]
    assert list(aws.region.suppressed) == ["Hannah@elsewhere.example"]


@pytest.mark.parametrize("who", ["hannah@elsewhere.example", "@elsewhere.example"])
def test_a_complaint_is_listed_and_a_full_mailbox_is_not(aws: Aws, who: str) -> None:
    presets.connect_events(aws.account, aws.region)
    aws.receive()
    aws.account.full.add(who)
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    [_, bounce] = [json.loads(body) for body in aws.receive()]
    assert bounce["bounce"]["bounceSubType"] == "MailboxFull"
    assert aws.region.suppressed == {}
    aws.account.full.clear()
    aws.account.complaining.add(who)
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds() == ["Send", "Delivery", "Complaint"]
    assert aws.region.suppressed["hannah@elsewhere.example"][0] == "COMPLAINT"
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds() == ["Send", "Bounce"]


def test_events_come_late_twice_in_the_wrong_order_or_not_at_all(aws: Aws) -> None:
    presets.connect_events(aws.account, aws.region)
    aws.receive()
    feed = aws.account.feed

    feed.is_doubled = True
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds() == ["Send", "Send", "Delivery", "Delivery"]
    feed.is_doubled, feed.is_reversed = False, True
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds() == ["Delivery", "Send"]
    feed.is_reversed, feed.is_stopped = False, True
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.receive() == []
    feed.is_stopped = False
    assert aws.kinds() == ["Send", "Delivery"]
    feed.delay, feed.transport = timedelta(seconds=60), timedelta(seconds=30)
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.receive() == []
    aws.account.clock_offset += timedelta(seconds=60)
    assert aws.kinds() == ["Send"]
    aws.account.clock_offset += timedelta(seconds=30)
    assert aws.kinds() == ["Delivery"]


def test_a_set_that_is_switched_off_or_a_default_one_counts(aws: Aws) -> None:
    presets.connect_events(aws.account, aws.region)
    aws.receive()
    aws.region.identities[DOMAIN].configuration_set = "ticketflow-ses"
    aws.send("hannah@elsewhere.example")
    assert aws.kinds() == ["Send", "Delivery"]
    options = {"SendingOptions": {"SendingEnabled": False}}
    aws.region.sets["ticketflow-ses"].options = options
    with pytest.raises(ClientError, match="configuration set"):
        aws.send("hannah@elsewhere.example")


def test_a_topic_that_lets_ses_in_for_another_set_only_gets_nothing(aws: Aws) -> None:
    queue = presets.connect_events(aws.account, aws.region)
    aws.receive()
    [topic] = aws.region.topics.values()
    allowed = topic.attributes.pop("Policy")
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    topic.attributes["Policy"] = allowed.replace("set/ticketflow-ses", "set/other")
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert queue.letters == []
    topic.attributes["Policy"] = allowed
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds() == ["Send", "Delivery"]


def test_a_set_without_a_topic_tells_nobody(aws: Aws) -> None:
    queue = presets.connect_events(aws.account, aws.region)
    aws.receive()
    known = aws.region.sets["ticketflow-ses"]
    known.destinations = {"x": Destination("x", True, ["SEND"])}  # noqa: FBT003
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert queue.letters == []


# Queues and topics


def test_a_message_is_hidden_for_a_while_and_then_comes_again(aws: Aws) -> None:
    queue = presets.connect_events(aws.account, aws.region)
    sqs = aws.client("sqs")
    [first] = sqs.receive_message(QueueUrl=queue.url, VisibilityTimeout=60)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue.url)
    counted = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])
    assert counted["Attributes"]["ApproximateNumberOfMessages"] == "0"
    assert counted["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"
    aws.account.clock_offset += timedelta(seconds=60)
    [again] = sqs.receive_message(QueueUrl=queue.url, AttributeNames=["All"])[
        "Messages"
    ]
    assert again["MessageId"] == first["MessageId"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    # A receipt of an earlier time deletes nothing.
    sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=first["ReceiptHandle"])
    sqs.change_message_visibility(
        QueueUrl=queue.url, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=0
    )
    [third] = sqs.receive_message(QueueUrl=queue.url)["Messages"]
    sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=third["ReceiptHandle"])
    assert queue.letters == []


def test_what_is_received_too_often_is_set_aside(aws: Aws) -> None:
    queue = presets.connect_events(aws.account, aws.region)
    sqs = aws.client("sqs")
    other = sqs.create_queue(QueueName="ticketflow-ses-dead")["QueueUrl"]
    redrive = {
        "deadLetterTargetArn": f"arn:aws:sqs:{HERE}:{ACCOUNT_ID}:ticketflow-ses-dead",
        "maxReceiveCount": "2",
    }
    sqs.set_queue_attributes(
        QueueUrl=queue.url, Attributes={"RedrivePolicy": json.dumps(redrive)}
    )
    for _ in range(2):
        assert sqs.receive_message(QueueUrl=queue.url, VisibilityTimeout=0)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue.url)
    assert sqs.receive_message(QueueUrl=other)["Messages"]


def test_a_long_poll_ends_when_something_comes_and_holds_nobody_up(aws: Aws) -> None:
    presets.connect_events(aws.account, aws.region)
    aws.receive()
    aws.account.feed.delay = timedelta(milliseconds=400)
    started = time.monotonic()
    aws.send("hannah@elsewhere.example", "ticketflow-ses")
    assert aws.kinds(WaitTimeSeconds=20)[0] == "Send"
    assert time.monotonic() - started < 10
    with pytest.raises(ClientError, match="WaitTimeSeconds"):
        aws.receive(WaitTimeSeconds=21)


def test_a_queue_that_is_not_there_is_told_as_aws_does(aws: Aws) -> None:
    sqs = aws.client("sqs")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        aws.receive("nothing")
    assert code_of(caught) == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(ClientError, match="Policy"):
        sqs.create_queue(QueueName="x", Attributes={"Policy": "nonsense"})


def test_an_address_on_the_web_confirms_its_subscription(aws: Aws) -> None:
    sns = aws.client("sns")
    topic = sns.create_topic(Name="tf")["TopicArn"]
    hook = "https://help.larkfield.example/webhooks/ses/"
    given = sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=hook)
    assert given["SubscriptionArn"] == "pending confirmation"
    counts = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert counts["SubscriptionsPending"] == "1"
    with pytest.raises(ClientError, match="Token"):
        sns.confirm_subscription(TopicArn=topic, Token="x")
    token = aws.region.topics[topic].subscriptions[0].token
    arn = sns.confirm_subscription(TopicArn=topic, Token=token)["SubscriptionArn"]
    assert arn.startswith(topic)
    sns.unsubscribe(SubscriptionArn=arn)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.get_topic_attributes(TopicArn=f"{topic}x")


# DNS


def test_names_are_answered_as_a_name_server_does() -> None:
    account = Account()
    zone = account.zone
    zone.publish("_dmarc.Larkfield.example", "TXT", 'v=DMARC1; p="none"' + "x" * 300)
    zone.publish("larkfield.example", "MX", "10 mail.larkfield.example")
    zone.publish("www.larkfield.example", "CNAME", "larkfield.example")
    with answering(account) as server:
        host, _, port = server.address.rpartition(":")
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, int(port))]
        resolver.lifetime = 0.5

        def ask(name: str, kind: str) -> list[str]:
            return [record.to_text() for record in resolver.resolve(name, kind)]

        [text] = resolver.resolve("_DMARC.larkfield.example.", "TXT")
        assert b"".join(text.strings).endswith(b'"none"' + b"x" * 300)
        assert ask("www.larkfield.example", "MX") == ["10 mail.larkfield.example."]
        assert ask("www.larkfield.example", "CNAME") == ["larkfield.example."]
        with pytest.raises(dns.resolver.NoAnswer):
            ask("larkfield.example", "TXT")
        with pytest.raises(dns.resolver.NXDOMAIN):
            ask("nobody.example", "TXT")
        zone.broken["larkfield.example"] = Answer.SERVER_FAILS
        with pytest.raises(dns.resolver.NoNameservers):
            ask("larkfield.example", "MX")
        zone.broken[""] = Answer.SILENCE
        with pytest.raises(dns.resolver.LifetimeTimeout):
            ask("_dmarc.larkfield.example", "TXT")


# Beginnings


def test_an_account_begins_new_or_ready(aws: Aws) -> None:
    ses = aws.client("sesv2")
    aws.key.is_active, aws.key.actions = False, frozenset[str]()
    presets.begin_new(aws.account, DOMAIN)
    assert set(aws.key.actions) == EVERYTHING
    assert ses.get_account()["ProductionAccessEnabled"] is False
    assert ses.list_email_identities()["EmailIdentities"] == []
    presets.begin_ready(aws.account, DOMAIN)
    assert ses.get_account()["ProductionAccessEnabled"] is True
    said = ses.get_email_identity(EmailIdentity=DOMAIN)
    assert said["VerifiedForSendingStatus"] is True
    assert said["MailFromAttributes"]["MailFromDomainStatus"] == "SUCCESS"
    assert aws.send("hannah@elsewhere.example")
