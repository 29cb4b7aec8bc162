"""The script for CloudShell, really run: bash and the AWS CLI against the stand-in."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from email_settings.provisioning.cloudshell import script
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import USUAL, Feature
from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.test_policy import ACCOUNT, EVERY_CHOICE, sender

TOOLS = Path(sys.executable).parent  # aws and shellcheck are beside this Python
HOSTILE = "a'b\"c$(touch HURT)`touch HURT`;touch HURT|&!\\n${HOME}*@larkfield.example"
SENDER = "help@larkfield.example"


def written(features: Iterable[Feature] = Feature, **values: Any) -> str:
    return script(features, Place.of(sender(**values)))


@dataclass
class Shell:
    """A shell of somebody who may do everything in the account."""

    account: Account
    url: str
    folder: Path

    def run(self, text: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Paste the text into a shell, as it is."""
        env = {
            "PATH": f"{self.folder.parent / 'tools'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }
        return subprocess.run(
            ["bash", "-s"],
            input=f"{text}\necho the shell lives\n",
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def client(self, service: str, key: tuple[str, str]) -> Any:
        session = boto3.session.Session(*key, region_name="eu-west-1")
        return session.client(service, endpoint_url=self.url)  # type: ignore[call-overload]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET, user="administrator")
    region = account.region("eu-west-1")
    region.identities["larkfield.example"] = Identity("larkfield.example")
    home, tools = tmp_path / "home", tmp_path / "tools"
    home.mkdir()
    tools.mkdir()
    with running(account) as server:
        # The CLI's first version takes SQS's address from nowhere but an option.
        aws = tools / "aws"
        aws.write_text(
            f'#!/bin/sh\nexec "{TOOLS}/aws" --endpoint-url {server.url} "$@"\n'
        )
        aws.chmod(0o700)
        yield Shell(account, server.url, home)


def said(output: str) -> Mapping[str, str]:
    """What the script tells to fill in."""
    return dict(re.findall(r"^([A-Za-z][A-Za-z ]+): +(\S+)$", output, re.MULTILINE))


@pytest.mark.parametrize("choice", EVERY_CHOICE)
def test_shellcheck_finds_nothing(choice: tuple[Feature, ...], tmp_path: Path) -> None:
    files = []
    others: list[dict[str, Any]] = [{}, {"account_id": ""}, {"is_sandbox": False}]
    for number, values in enumerate(others):
        file = tmp_path / f"{number}.sh"
        file.write_text(written(choice, **values))
        files.append(file)
    found = subprocess.run(
        [TOOLS / "shellcheck", *files], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
    assert found.returncode == 0


def test_shellcheck_would_find_something(tmp_path: Path) -> None:
    file = tmp_path / "x.sh"
    file.write_text(written().replace('"$account"', "$account"))
    found = subprocess.run(
        [TOOLS / "shellcheck", file], capture_output=True, check=False
    )
    assert found.returncode == 1


def test_it_makes_what_is_needed_once_and_its_key_can_do_that_and_no_more(
    shell: Shell,
) -> None:
    first = shell.run(written(USUAL))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.endswith("the shell lives\n")
    values = said(first.stdout)
    key = (values["AWS Access Key ID"], values["AWS Secret Access Key"])
    assert len(key[1]) == 40

    second = shell.run(written(USUAL))
    assert (second.returncode, second.stderr) == (0, "")
    again = said(second.stdout)
    assert "AWS Secret Access Key" not in again
    assert key[1] not in second.stdout
    assert again == {k: v for k, v in values.items() if not k.startswith("AWS ")} | {
        "AWS Region": "eu-west-1"
    }

    user, *others = (u for u in shell.account.users if u != "administrator")
    assert not others
    assert [k.access_key_id for k in shell.account.keys_of(user)] == [key[0]]
    region = shell.account.region("eu-west-1")
    assert list(region.sets) == [values["Configuration set"]]
    assert list(region.topics) == [values["Event topic ARN"]]
    assert len(region.queues) == 2
    [topic] = region.topics.values()
    assert topic.attributes["SignatureVersion"] == "2"
    [subscription] = topic.subscriptions
    assert subscription.is_raw
    assert subscription.is_confirmed
    check_rights(shell, values, key)


def check_rights(shell: Shell, values: Mapping[str, str], key: tuple[str, str]) -> None:
    """Do with the new key what it is for, and what it is not for."""
    ses, sqs = shell.client("sesv2", key), shell.client("sqs", key)
    assert ses.get_account()["SendQuota"]
    ses.get_configuration_set_event_destinations(
        ConfigurationSetName=values["Configuration set"]
    )
    send(ses, SENDER, values["Configuration set"])
    # The event of that mail comes by set, topic and queue, raw.
    [message] = sqs.receive_message(
        QueueUrl=values["Event queue URL"], WaitTimeSeconds=10
    )["Messages"]
    sqs.delete_message(
        QueueUrl=values["Event queue URL"], ReceiptHandle=message["ReceiptHandle"]
    )
    for refused in (
        lambda: send(ses, "ceo@larkfield.example", values["Configuration set"]),
        lambda: ses.create_email_identity(EmailIdentity="evil.example"),
        lambda: sqs.create_queue(QueueName="ticketflow-ses-other"),
        lambda: shell.client("iam", key).create_access_key(),
        lambda: shell.client("sns", key).create_topic(Name="t"),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            refused()


def send(ses: Any, address: str, configuration_set: str) -> None:
    mime = f"From: Help <{address}>\r\nTo: hannah@larkfield.example\r\n\r\nHello"
    ses.send_email(
        Destination={"ToAddresses": ["hannah@larkfield.example"]},
        Content={"Raw": {"Data": mime.encode()}},
        ConfigurationSetName=configuration_set,
    )


def test_a_hostile_sender_runs_nothing_and_arrives_whole(shell: Shell) -> None:
    # It is meant: the admin moves to another account.
    text = written([Feature.SEND], from_email=HOSTILE, account_id="999999999999")
    done = shell.run(text, OTHER_ACCOUNT="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert [file.name for file in shell.folder.iterdir()] == []
    [user] = (u for n, u in shell.account.users.items() if n != "administrator")
    [policy] = user.policies.values()
    [statement] = policy["Statement"]
    kept = statement["Condition"]["StringEquals"]["ses:FromAddress"]
    assert kept.replace("${$}", "$").replace("${*}", "*") == HOSTILE


def test_the_user_of_the_running_key_gets_the_rights(shell: Shell) -> None:
    shell.account.add_key("AKIAI44QH8DHBEXAMPLE", SECRET, user="helpdesk", actions=[])
    arn = f"arn:aws:iam::{ACCOUNT}:user/helpdesk"
    done = shell.run(written([Feature.SEND, Feature.ROTATION], principal_arn=arn))
    assert "the user has one already: AKIAI44QH8DHBEXAMPLE" in done.stdout
    assert list(shell.account.users) == ["administrator", "helpdesk"]
    [policy] = shell.account.users["helpdesk"].policies.values()
    assert policy["Statement"][1]["Resource"] == arn


def test_another_account_than_the_one_in_use_is_refused(shell: Shell) -> None:
    text = written([Feature.SEND], account_id="999999999999")
    done = shell.run(text)
    assert "Stopped: TicketFlow uses the account 999999999999" in done.stdout
    assert list(shell.account.users) == ["administrator"]
    assert done.stdout.endswith("the shell lives\n")


def test_a_refusal_of_aws_stops_it_and_leaves_the_shell_alive(shell: Shell) -> None:
    shell.account.keys[ACCESS_KEY_ID].actions = {"iam:CreateUser", "iam:GetUser"}
    done = shell.run(written([Feature.SEND]))
    assert "PutUserPolicy" in done.stderr
    assert "Stopped: AWS refused something" in done.stdout
    assert "Secret Access Key" not in done.stdout
    assert done.stdout.endswith("the shell lives\n")


def test_what_is_connected_is_brought_up_to_date() -> None:
    text = written(
        [Feature.EVENTS],
        configuration_set="helpdesk",
        event_queue_url=f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/helpdesk-mail",
        event_topic_arn=f"arn:aws:sns:eu-west-1:{ACCOUNT}:helpdesk-topic",
    )
    assert "configuration_set=helpdesk\n" in text
    assert "queue=$(queue_of helpdesk-mail)\n" in text
    assert "create-topic --name helpdesk-topic " in text
    # in its own policy, its dead letters, the subscription and the user's policy
    assert text.count(":helpdesk-mail") == 4


def test_webhook_is_asked_to_confirm(shell: Shell, settings: Any) -> None:
    settings.SITE_URL = "https://help.larkfield.example"
    done = shell.run(written([Feature.EVENTS, Feature.WEBHOOK]))
    assert "The topic asks the webhook to confirm." in done.stdout
    [topic] = shell.account.region("eu-west-1").topics.values()
    found = {one.protocol: one for one in topic.subscriptions}
    assert set(found) == {"sqs", "https"}
    assert found["https"].endpoint == "https://help.larkfield.example/webhooks/ses/"
    assert not found["https"].is_confirmed
    assert topic.signature_version == "2"


def test_without_https_the_script_asks_no_webhook(settings: Any) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    assert "webhook" not in written([Feature.EVENTS, Feature.WEBHOOK])
