"""The set-up as one script for AWS CloudShell, or any shell with the AWS CLI.

Everything that comes from the settings is inside JSON and inside single quotes, so it is
data to the shell whatever it looks like.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from email_settings.provisioning import making
from email_settings.provisioning.place import ANY_ACCOUNT, Place
from email_settings.provisioning.policy import Feature, policy

FILE_NAME = "ticketflow-ses.sh"

# A function with a body in brackets: pasted into a shell it is read wholly before it
# runs, and when it stops at an error it ends itself and not the shell around it.
_BEGIN = """\
#!/usr/bin/env bash
# Makes in AWS what TicketFlow needs to send mail through Amazon SES.
# It may be run again: what is there already stays or is brought up to date.
ticketflow_ses_setup() (
set -euo pipefail
export AWS_REGION={region} AWS_DEFAULT_REGION={region} AWS_PAGER=
say() {{ printf '%s\\n' "$*"; }}
trap 'say "Stopped: AWS refused something, see above. Mend it and run this again."' ERR

account=$(aws sts get-caller-identity --query Account --output text)
say "AWS account $account, region $AWS_REGION"
"""

_SAME_ACCOUNT = """\
if [ "$account" != {account} ] && [ -z "${{OTHER_ACCOUNT:-}}" ]; then
  say "Stopped: TicketFlow uses the account {account}, and this shell is in $account."
  say "Nothing was made. If you are moving to this account, run: export OTHER_ACCOUNT=1"
  say "and then this script again."
  exit 1
fi
"""

_EVENTS = """
# Where events come from
configuration_set={configuration_set}
if aws sesv2 get-configuration-set --configuration-set-name "$configuration_set" >/dev/null 2>&1; then
  say "The configuration set $configuration_set is there."
else
  aws sesv2 create-configuration-set --configuration-set-name "$configuration_set" --suppression-options SuppressedReasons={reasons} >/dev/null
  say "Made the configuration set $configuration_set."
fi

# The topic that they are published to
topic=$(aws sns create-topic --name {topic} --query TopicArn --output text)
aws sns set-topic-attributes --topic-arn "$topic" --attribute-name SignatureVersion --attribute-value 2
aws sns set-topic-attributes --topic-arn "$topic" --attribute-name Policy --attribute-value {topic_policy}
say "The topic $topic is ready."

# The queue that keeps them until TicketFlow reads them, and one for what can't be read
queue_of() {{
  aws sqs get-queue-url --queue-name "$1" --query QueueUrl --output text 2>/dev/null ||
    aws sqs create-queue --queue-name "$1" --query QueueUrl --output text
}}
dead_letters=$(queue_of {dead_letters})
aws sqs set-queue-attributes --queue-url "$dead_letters" --attributes {dead_letters_attributes}
queue=$(queue_of {queue})
aws sqs set-queue-attributes --queue-url "$queue" --attributes {queue_attributes}
say "The queue $queue is ready."

subscription=$(aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint {queue_arn} --return-subscription-arn --query SubscriptionArn --output text)
aws sns set-subscription-attributes --subscription-arn "$subscription" --attribute-name RawMessageDelivery --attribute-value true
say "The topic delivers to the queue."

# From the one to the other
destination={destination}
destinations=$(aws sesv2 get-configuration-set-event-destinations --configuration-set-name "$configuration_set" --query 'EventDestinations[].Name' --output text)
verb=create
case " ${{destinations//[[:space:]]/ }} " in *" $destination "*) verb=update ;; esac
aws sesv2 "$verb-configuration-set-event-destination" --configuration-set-name "$configuration_set" --event-destination-name "$destination" --event-destination {event_destination} >/dev/null
say "Amazon SES publishes its events to the topic."
"""

_WEBHOOK = """
# The webhook: switch it on in TicketFlow first, which confirms it
aws sns subscribe --topic-arn "$topic" --protocol https --notification-endpoint {endpoint} --attributes {attributes} >/dev/null
say "The topic asks the webhook to confirm."
"""

_USER = """
# The user that TicketFlow signs in as
user={user}
if aws iam get-user --user-name "$user" >/dev/null 2>&1; then
  say "The user $user is there."
else
  aws iam create-user --user-name "$user" >/dev/null
  say "Made the user $user."
fi
aws iam put-user-policy --user-name "$user" --policy-name ticketflow-ses --policy-document {policy}
say "Its rights are up to date."

keys=$(aws iam list-access-keys --user-name "$user" --query 'AccessKeyMetadata[].AccessKeyId' --output text)
key='' secret=''
if [ -z "$keys" ] || [ "$keys" = None ]; then
  made=$(aws iam create-access-key --user-name "$user" --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
  read -r key secret <<<"$made"
fi

say ''
say '--- For Email Settings ---'
if [ -n "$key" ]; then
  say "AWS Access Key ID:      $key"
  say "AWS Secret Access Key:  $secret"
else
  say "Access key:             the user has one already: $keys"
  say '  Its secret can not be shown again. For a new one: IAM, Users, Security credentials.'
fi
say "AWS Region:             $AWS_REGION"
"""

_EVENTS_END = """\
say ''
say '--- For Email Settings, Delivery events ---'
say "Configuration set:      $configuration_set"
say "Event queue URL:        $queue"
say "Event topic ARN:        $topic"
"""

_KEY_END = """\
if [ -n "$key" ]; then
  say ''
  say 'The secret is shown only now. Paste it, then clear the screen.'
fi
"""

_END = """\
)
ticketflow_ses_setup
"""


def script(features: Iterable[Feature], place: Place) -> str:
    """Return the script, which can be run again and again with the same result.

    The user of the running key gets the rights, when there is one; else a new user.
    """
    chosen = set(features)
    here, mark = making.with_open_account(place)
    parts = [_BEGIN.format(region=shlex.quote(here.region))]
    if place.account != ANY_ACCOUNT:
        parts.append(_SAME_ACCOUNT.format(account=shlex.quote(place.account)))
    if Feature.EVENTS in chosen:
        parts.append(_EVENTS.format_map(dict(_event_words(here, mark))))
        if Feature.WEBHOOK in chosen and making.webhook_url():
            parts.append(_webhook())
    quoted_policy = _quoted(policy(chosen, here), mark)
    parts.append(_USER.format(user=shlex.quote(here.user_name), policy=quoted_policy))
    if Feature.EVENTS in chosen:
        parts.append(_EVENTS_END)
    parts += [_KEY_END, _END]
    return "".join(parts)


def _webhook() -> str:
    attributes = {"DeliveryPolicy": json.dumps(making.DELIVERY_POLICY)}
    return _WEBHOOK.format(
        endpoint=shlex.quote(making.webhook_url()),
        attributes=shlex.quote(json.dumps(attributes)),
    )


def _event_words(place: Place, mark: str) -> Iterator[tuple[str, str]]:
    names = place.names
    kept = {
        "MessageRetentionPeriod": str(making.KEEP_SECONDS),
        "SqsManagedSseEnabled": "true",
    }
    redrive = {
        "deadLetterTargetArn": place.dead_letters,
        "maxReceiveCount": making.TRIES,
    }
    queue = {
        **kept,
        "VisibilityTimeout": str(making.HIDE_SECONDS),
        "ReceiveMessageWaitTimeSeconds": str(making.POLL_SECONDS),
        "RedrivePolicy": json.dumps(redrive),
        "Policy": json.dumps(making.queue_policy(place)),
    }
    destination = {
        "Enabled": True,
        "MatchingEventTypes": list(making.EVENT_TYPES),
        "SnsDestination": {"TopicArn": place.topic},
    }
    yield "configuration_set", shlex.quote(names.configuration_set)
    yield "reasons", ",".join(making.SUPPRESSED_REASONS)
    yield "topic", shlex.quote(names.topic)
    yield "topic_policy", _quoted(making.topic_policy(place), mark)
    yield "dead_letters", shlex.quote(names.dead_letters)
    yield "dead_letters_attributes", _quoted(kept, mark)
    yield "queue", shlex.quote(names.queue)
    yield "queue_attributes", _quoted(queue, mark)
    yield "queue_arn", _in_quotes(place.queue, mark)
    yield "destination", shlex.quote(names.event_destination)
    yield "event_destination", _quoted(destination, mark)


def _quoted(document: Mapping[str, Any], mark: str) -> str:
    return _in_quotes(json.dumps(document), mark)


def _in_quotes(text: str, mark: str) -> str:
    """Return the text as one word of the shell, the account where the mark stands."""
    return '"$account"'.join(map(shlex.quote, text.split(mark)))
