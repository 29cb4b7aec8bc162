"""What can go wrong on the way to Amazon SES: what happened, why, and how to mend it.

Data only. The rows are keyed by a code of ours that is stored with messages and attempts;
errors.py finds the row for what AWS answered. Texts say what happened first, then why,
then how to mend it, the best way first.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum


class ErrorClass(Enum):
    """What a problem means for the mail that met it, and for the mail behind it."""

    CONFIG = "config"  # all mail is held until the settings or the account are mended
    IAM = "iam"  # the same, and a permission is what is missing
    QUOTA = "quota"  # all mail is held until the daily window has room
    SANDBOX = "sandbox"  # this message alone waits: for the sandbox's end, or for a key
    RATE = "rate"  # too fast: again in a moment, no attempt counted
    MSG = "msg"  # this message will never be taken; the others are fine
    NOTSENT = "notsent"  # it never left: tried again later
    UNKNOWN = "unknown"  # it may have been taken; a person decides
    CAPTURED = "captured"  # kept here on purpose: by rehearsal, or by an admin


@dataclass(frozen=True)
class Problem:
    """One row of the catalogue, in plain words."""

    code: str
    kind: ErrorClass
    title: str  # what happened
    why: str
    fix: str
    # What was answered, in the answerer's own words; "" in the catalogue itself
    words: str = ""
    # JSON that the fix ends with, to be added to a policy; "" where it names none
    statement: str = ""

    @property
    def advice(self) -> str:
        """The fix without the statement, for pages that show that apart."""
        return (
            self.fix.removesuffix(f" {self.statement}") if self.statement else self.fix
        )

    @property
    def holds_all_mail(self) -> bool:
        """Whether trying other messages would only fail the same way."""
        return self.kind in {ErrorClass.CONFIG, ErrorClass.IAM, ErrorClass.QUOTA}


def problem_for(code: str, **values: object) -> Problem:
    """Return the catalogue's row, with the values in its texts ("" for those not given).

    Raises KeyError for a code that is not in the catalogue.
    """
    problem = CATALOGUE[code]
    known: defaultdict[str, object] = defaultdict(str, values)
    fix = _filled(problem.fix, known)
    statement = str(known["statement"])
    return replace(
        problem,
        title=_filled(problem.title, known),
        why=_filled(problem.why, known),
        fix=fix,
        statement=statement if fix.endswith(f" {statement}") else "",
    )


def _filled(text: str, values: defaultdict[str, object]) -> str:
    # A value that is not known leaves two blanks behind.
    return " ".join(text.format_map(values).split())


@dataclass(frozen=True)
class Denial:
    """Which kind of policy stands in the way of a permission, and what mends that."""

    cause: str
    fix: str


_DENIES = "denies it, and a denial outweighs every permission."

# The row "access_denied" by the kind of policy that AWS names; errors.py reads it.
DENIALS: dict[str, Denial] = {
    "policy": Denial(
        "No policy of {who} allows it.",
        "Add this statement to the policies of {who}, in {where}: {statement}",
    ),
    "policy, denied": Denial(
        f"A policy of {{who}} {_DENIES}",
        'Take the statement with "Effect": "Deny" that covers {action} out of the '
        "policies of {who} and of its groups, in {where}.",
    ),
    "recipient": Denial(
        "In the sandbox AWS also asks for the right to use the recipient's verified "
        "address or domain, and no policy of {who} allows that.",
        "Add this statement to the policies of {who}, in {where}: {statement}",
    ),
    "boundary": Denial(
        "The permissions boundary of {who} does not allow it. That is an upper limit set "
        "in IAM, which counts whatever its policies say.",
        "Add this statement to the permissions boundary, in {where}: {statement}",
    ),
    "boundary, denied": Denial(
        f"The permissions boundary of {{who}} {_DENIES}",
        'Take the statement with "Effect": "Deny" that covers {action} out of the '
        "permissions boundary, in {where}.",
    ),
    "organisation": Denial(
        "A service control policy of your AWS organisation does not allow it. Such a "
        "policy counts for every account in the organisation.",
        "Ask whoever runs the AWS organisation to allow {action}. No policy within this "
        "account can.",
    ),
    "organisation, denied": Denial(
        f"A service control policy of your AWS organisation {_DENIES}",
        "Ask whoever runs the AWS organisation to allow {action}. No policy within this "
        "account can.",
    ),
    "identity": Denial(
        "The sender has an authorisation policy of its own in Amazon SES, and it does not "
        "allow it.",
        "Open Amazon SES → Identities → the address or domain of the sender → "
        "Authorization, and allow {action} to {who}.",
    ),
    "identity, denied": Denial(
        "The sender has an authorisation policy of its own in Amazon SES, which "
        f"{_DENIES}",
        "Open Amazon SES → Identities → the address or domain of the sender → "
        "Authorization, and take the denial out.",
    ),
    "session": Denial(
        "The key belongs to a session that was begun with fewer permissions.",
        "Use the access key of an IAM user; it starts with AKIA.",
    ),
    "endpoint": Denial(
        "Your network reaches Amazon SES through a VPC endpoint, and the policy of that "
        "does not allow it.",
        "Add this statement to the policy of the endpoint, in VPC → Endpoints: "
        "{statement}",
    ),
    "unnamed, denied": Denial(
        f"A policy of {{who}} or of your AWS organisation {_DENIES}",
        'Look for a statement with "Effect": "Deny" that covers {action} in the policies '
        "of {who}, or ask whoever runs the AWS organisation.",
    ),
}


def _problem(code: str, kind: ErrorClass, title: str, why: str, fix: str) -> Problem:
    return Problem(code=code, kind=kind, title=title, why=why, fix=fix)


CATALOGUE: dict[str, Problem] = {
    problem.code: problem
    for problem in [
        # What was typed in, before anybody is asked
        _problem(
            "access_key_shape",
            ErrorClass.CONFIG,
            "This is not an Access Key ID.",
            "It has 20 capital letters and digits, and starts with AKIA.",
            "Copy it again from IAM → Users → Security credentials.",
        ),
        _problem(
            "temporary_key",
            ErrorClass.CONFIG,
            "This is a temporary key.",
            "Keys that start with ASIA end after some hours.",
            "Create an access key for an IAM user: it starts with AKIA.",
        ),
        _problem(
            "secret_shape",
            ErrorClass.CONFIG,
            "This is not a Secret Access Key.",
            "It has 40 characters: letters, digits, / and + only.",
            "Copy it again. AWS shows it once: create a new access key if it is gone.",
        ),
        _problem(
            "smtp_password",
            ErrorClass.CONFIG,
            "This is the SES SMTP password.",
            "AWS makes it from the secret, for programs that send by SMTP.",
            "TicketFlow uses the SES API: paste the access key's own secret, 40 characters long.",
        ),
        # Settings and this installation
        _problem(
            "not_configured",
            ErrorClass.CONFIG,
            "No AWS access key has been saved.",
            "Mail can't leave without one.",
            "Fill in Admin Panel → Email Settings; the guide beside the form says where to find each part.",
        ),
        _problem(
            "encryption_key_missing",
            ErrorClass.CONFIG,
            "The stored secret can't be read: the key {key_id} is missing.",
            "The key file of this installation was replaced, or not restored with its database.",
            "Put the old key file back, or type the AWS Secret Access Key in again under Email Settings.",
        ),
        _problem(
            "key_file_unusable",
            ErrorClass.CONFIG,
            "The key file of this installation can't be used.",
            "Its permissions or its content are not as they must be.",
            "Run manage.py doctor: it says what to change. Mail then leaves by itself.",
        ),
        _problem(
            "secret_unreadable",
            ErrorClass.CONFIG,
            "The stored secret can't be read.",
            "It was changed or copied from another place, or the key file is damaged.",
            "Type the AWS Secret Access Key in again under Email Settings.",
        ),
        _problem(
            "sdk_misconfigured",
            ErrorClass.CONFIG,
            "The AWS SDK can't be started on this server.",
            "The SDK is the library by which TicketFlow speaks to AWS. One of its own settings is wrong: a variable such as AWS_PROFILE or HTTPS_PROXY, or the file ~/.aws/config of the user that runs TicketFlow.",
            "Correct the setting that the SDK's own words name, and start TicketFlow again.",
        ),
        # Keys
        _problem(
            "key_unknown",
            ErrorClass.CONFIG,
            "AWS does not know this access key.",
            "The key ID is mistyped, or the key was deleted or made inactive, or the region{named_region} is not enabled in the account. AWS does not say which.",
            "Open IAM → Users → your user → Security credentials: the key ID must be listed there, spelt the same, as Active. If it is not, create a new access key. If it is, the region is at fault: press Check now under Email Settings to be sure.",
        ),
        _problem(
            "region_not_enabled",
            ErrorClass.CONFIG,
            "The region {region} is not enabled in your AWS account.",
            "The access key is fine: it works in other regions. Newer regions must be enabled before they can be used.",
            "Enable the region in AWS under Account → AWS Regions, or choose another under Email Settings.",
        ),
        _problem(
            "secret_mismatch",
            ErrorClass.CONFIG,
            "The secret access key does not belong to this key ID.",
            "The secret is mistyped, or it is that of another key.",
            "Paste both parts again under Email Settings, or create a new access key and use its two parts.",
        ),
        _problem(
            "clock_skew",
            ErrorClass.CONFIG,
            "The clock of this server is wrong{minutes}.",
            "{slow_or_fast} AWS refuses requests that are more than five minutes off.",
            "Have the clock set over the network: on Linux, sudo timedatectl set-ntp true.",
        ),
        _problem(
            "token_expired",
            ErrorClass.CONFIG,
            "The temporary AWS credentials have ended.",
            "Such credentials hold for some hours only.",
            "Use the access key of an IAM user; it starts with AKIA. Where the credentials of this server are used, renew them where they come from, and start TicketFlow again if they stand in its environment.",
        ),
        _problem(
            "signature_lost",
            ErrorClass.CONFIG,
            "The request reached AWS without its signature.",
            "Each request is signed with the secret, in a header, and a proxy between this server and AWS removes it.",
            "Let the proxy pass requests to email{dot_region}.amazonaws.com unchanged.",
        ),
        _problem(
            "account_not_signed_up",
            ErrorClass.CONFIG,
            "This AWS account has not signed up for Amazon SES.",
            "The access key is fine. The account that it belongs to has not finished its sign-up with AWS, or has never opened Amazon SES.",
            "Open Amazon SES in the AWS console{in_region} and follow its steps.",
        ),
        _problem(
            "no_credentials",
            ErrorClass.CONFIG,
            "There are no AWS credentials.",
            "None or only a part was found.",
            "Fill in both the key ID and the secret under Email Settings. Where those of this server are to be used, give it some: on EC2 attach a role under Actions → Security → Modify IAM role, on ECS name a task role.",
        ),
        _problem(
            "server_role_off",
            ErrorClass.CONFIG,
            "The AWS credentials of this server may not be used here.",
            "Email Settings name them, and TICKETFLOW_ALLOW_SERVER_ROLE is not switched on: whoever installs TicketFlow decides that, and not an admin in the browser.",
            "Set TICKETFLOW_ALLOW_SERVER_ROLE=1 in the environment of web and worker and start them again, or choose other credentials under Email Settings.",
        ),
        _problem(
            "role_refused",
            ErrorClass.CONFIG,
            "AWS does not let {who} assume the role{role}.",
            "{denied}Either the trust policy of the role, which says who may use it, does not name {who} with the external ID of this installation, or {who} lacks the right sts:AssumeRole, or there is no such role. AWS does not say which.",
            "Open IAM → Roles → the role → Trust relationships and paste the trust policy that Email Settings show. Then add this statement to the policies of {who}, in {where}: {statement}",
        ),
        _problem(
            "region_malformed",
            ErrorClass.CONFIG,
            "The AWS region is not a region name.",
            "A region looks like eu-west-1.",
            "Choose a region from the list under Email Settings.",
        ),
        # The account
        _problem(
            "access_denied",
            ErrorClass.IAM,
            "The access key may not do this: {action}.",
            "{denied}{cause}",
            "{remedy}",
        ),
        _problem(
            "from_not_verified",
            ErrorClass.CONFIG,
            "Amazon SES does not know the sender {from_email} in this region.",
            "An address or its domain must be verified in the very region that is used. An address that was verified by itself counts only with the same capital letters.",
            "Verify the address or its domain in Amazon SES → Identities{in_region}, or choose the region where it is verified.",
        ),
        _problem(
            "recipient_not_verified",
            ErrorClass.SANDBOX,
            "The account is in the sandbox, and {recipient} is not verified.",
            "Every AWS account starts in the sandbox, where Amazon SES delivers to verified addresses only.",
            "Ask AWS for production access: Email Settings help with the request. For a test, verify this address in Amazon SES → Identities{in_region}.",
        ),
        _problem(
            "sending_paused_by_aws",
            ErrorClass.CONFIG,
            "AWS has paused sending for this account.",
            "It does so after many bounces or complaints, or when it has questions.",
            "Read the mail that AWS sent to the owner of the account, and answer it.",
        ),
        _problem(
            "sending_switched_off",
            ErrorClass.CONFIG,
            "Sending is switched off in Amazon SES.",
            "Somebody paused it for the account or for its configuration set.",
            "Switch it on again in Amazon SES → Account dashboard, or → Configuration sets{in_region}.",
        ),
        _problem(
            "account_suspended",
            ErrorClass.CONFIG,
            "AWS has suspended e-mail for this account.",
            "AWS says that the restriction is permanent.",
            "Contact AWS Support, or use another AWS account.",
        ),
        _problem(
            "mail_from_not_verified",
            ErrorClass.CONFIG,
            "The custom MAIL FROM domain is not set up.",
            "It is the domain of yours that takes bounces back. Its MX record is missing or wrong, and the sender is set in Amazon SES to refuse mail then.",
            "Publish the MX and TXT records that the checklist under Email Settings shows, or choose the default MAIL FROM domain in Amazon SES → Identities{in_region} → the domain of {from_email}.",
        ),
        _problem(
            "configuration_set_missing",
            ErrorClass.CONFIG,
            "The configuration set{configuration_set} does not exist in this region.",
            "Amazon SES needs the set to tell TicketFlow what becomes of mail. It was deleted, or it is in another region.",
            "Connect delivery events again under Email Settings, or create the set in Amazon SES → Configuration sets{in_region}. If the set is named in Identities → the address or domain of {from_email}, it can be taken off there.",
        ),
        _problem(
            "daily_quota",
            ErrorClass.QUOTA,
            "The daily quota of Amazon SES is used up.",
            "AWS counts the recipients of the last 24 hours, those of other programs on the account too.",
            "Nothing is lost: mail goes on by itself as room gets free. If this happens often, ask AWS for a higher quota under Service Quotas → Amazon SES.",
        ),
        _problem(
            "limit_reached",
            ErrorClass.QUOTA,
            "A limit of the AWS account is reached.",
            "It is not the daily quota of mail; AWS's own words name it.",
            "Ask AWS for a higher limit under Service Quotas → Amazon SES. Mail goes on by itself when there is room again.",
        ),
        _problem(
            "rate_exceeded",
            ErrorClass.RATE,
            "Amazon SES was asked to send faster than it allows.",
            "Another program may use the same account.",
            "Nothing to do: the message is tried again in a moment, and sending is slowed down.",
        ),
        _problem(
            "pacer_unavailable",
            ErrorClass.RATE,
            "Redis, which keeps the sending rate, does not answer.",
            "Redis is stopped or can't be reached.",
            "Start Redis. The message is tried again in a moment.",
        ),
        _problem(
            "pacer_database_unavailable",
            ErrorClass.RATE,
            "PostgreSQL, which keeps the sending rate, does not answer.",
            "PostgreSQL is stopped, is restarting or can't be reached.",
            "Start PostgreSQL. The message is tried again in a moment.",
        ),
        # This message
        _problem(
            "recipient_invalid",
            ErrorClass.MSG,
            "Amazon SES refused the address of the recipient.",
            "The address {recipient} is not one that mail can be sent to.",
            "Correct the address of this person, then do again what the mail was about.",
        ),
        _problem(
            "message_malformed",
            ErrorClass.MSG,
            "Amazon SES refused how this message is built.",
            "A header or a part is not as AWS wants it, or the message is larger than 40 MB.",
            "Change what AWS's own words on the page of the message name, then do again what the mail was about.",
        ),
        _problem(
            "message_rejected",
            ErrorClass.MSG,
            "Amazon SES refused this message.",
            "AWS's own words, on the page of the message, say why.",
            "Change what they name, then retry the message.",
        ),
        _problem(
            "header_refused",
            ErrorClass.MSG,
            "This message has a header that can't be sent.",
            "A line break in a name or a subject could smuggle in other headers.",
            "Take the line break out of the name or the subject, then do again what the mail was about.",
        ),
        _problem(
            "body_unreadable",
            ErrorClass.MSG,
            "The stored content of this message can't be read.",
            "It was changed, or copied from another message.",
            "Do again what the mail was about, and a new one is made.",
        ),
        _problem(
            "body_key_missing",
            ErrorClass.SANDBOX,
            "The stored content of this message can't be read now.",
            "It was encrypted with a key that is not in the key file.",
            "Put the old key file back: the message then leaves by itself. If it is gone for good, do again what the mail was about, and a new one is made.",
        ),
        _problem(
            "request_refused",
            ErrorClass.MSG,
            "Amazon SES refused this message for a reason that is not known here.",
            "AWS's own words, on the page of the message, say more.",
            "Search the AWS documentation for them, and retry the message when it is mended.",
        ),
        # It never left
        _problem(
            "aws_unavailable",
            ErrorClass.NOTSENT,
            "Amazon SES is not available just now.",
            "AWS answered that it can't take requests for the moment.",
            "Nothing to do: the message is tried again. The state of AWS is at health.aws.amazon.com.",
        ),
        _problem(
            "cannot_connect",
            ErrorClass.NOTSENT,
            "This server can't reach Amazon SES.",
            "The name email{dot_region}.amazonaws.com was not found, or a firewall refuses the connection.",
            "Have outgoing connections allowed to email{dot_region}.amazonaws.com, port 443, by whoever runs the network of this server.",
        ),
        _problem(
            "connect_timeout",
            ErrorClass.NOTSENT,
            "Amazon SES did not answer the connection.",
            "Most often a firewall between this server and AWS swallows it.",
            "Have outgoing connections allowed to email{dot_region}.amazonaws.com, port 443, by whoever runs the network of this server.",
        ),
        _problem(
            "proxy_unreachable",
            ErrorClass.NOTSENT,
            "The proxy does not answer.",
            "HTTPS_PROXY names a proxy that can't be reached from this server.",
            "Correct HTTPS_PROXY and start TicketFlow again, or start the proxy.",
        ),
        _problem(
            "tls_failed",
            ErrorClass.NOTSENT,
            "The connection to AWS can't be trusted.",
            "A proxy that opens encrypted connections answers in the place of AWS, or the certificates of this server are out of date.",
            "Set AWS_CA_BUNDLE, in the environment of web and worker, to the file with the certificate of your proxy and start TicketFlow again, or update the certificates of this server.",
        ),
        _problem(
            "not_aws",
            ErrorClass.NOTSENT,
            "Something other than AWS answered.",
            "A proxy or a sign-in page sits between this server and AWS: its reply carries no AWS request number.",
            "Let this server reach email{dot_region}.amazonaws.com directly.",
        ),
        _problem(
            "aws_silent",
            ErrorClass.NOTSENT,
            "Amazon SES takes mail and gives no clear answer.",
            "Several messages in a row went out and nobody knows whether they arrived, so no more are risked for now. Most often a proxy or a firewall cuts connections, or AWS has trouble in this region.",
            "Look at the proxy and the firewall on the way to email{dot_region}.amazonaws.com, port 443, and at health.aws.amazon.com. One message is tried now and then, and all the others follow when it gets through.",
        ),
        # It may have left
        _problem(
            "no_answer",
            ErrorClass.UNKNOWN,
            "The message went out and no answer came.",
            "The connection ended before Amazon SES said whether it took the message.",
            "Ask the recipient whether it arrived. If it did, mark it as sent; if not, resend it.",
        ),
        _problem(
            "aws_failed",
            ErrorClass.UNKNOWN,
            "Amazon SES failed while it had the message.",
            "AWS reported an error of its own, so nobody knows whether it took the message.",
            "Ask the recipient whether it arrived. If it did, mark it as sent; if not, resend it.",
        ),
        _problem(
            "empty_answer",
            ErrorClass.UNKNOWN,
            "The answer had no message ID.",
            "Amazon SES always gives one, so a proxy or a sign-in page may have answered instead.",
            "Ask the recipient whether it arrived. If it did, mark it as sent; if not, resend it. Let this server reach amazonaws.com directly.",
        ),
        _problem(
            "worker_stopped",
            ErrorClass.UNKNOWN,
            "The worker ended while it was sending.",
            "The message was on its way, and the answer was lost with the worker.",
            "Ask the recipient whether it arrived. If it did, mark it as sent; if not, resend it.",
        ),
        # Ours
        _problem(
            "not_started",
            ErrorClass.RATE,
            "The worker stopped before it sent this message.",
            "It was asked to stop, for an update or a restart.",
            "Nothing to do: the message waits for the next worker.",
        ),
        _problem(
            "called_off",
            ErrorClass.RATE,
            "Another message met trouble just before this one was sent.",
            "What had happened to the other one would have happened to this one too.",
            "Nothing to do: the message leaves when the trouble is over.",
        ),
        _problem(
            "rehearsal",
            ErrorClass.CAPTURED,
            "Rehearsal: the message was kept here and not sent.",
            "Mail is in rehearsal until an admin goes live.",
            "Go live under Admin Panel → Email Settings when you are ready.",
        ),
        _problem(
            "stopped_by_hand",
            ErrorClass.CAPTURED,
            "An admin holds all mail.",
            "Nothing leaves until an admin releases it.",
            "Press Release in Admin Panel → Email Activity.",
        ),
        _problem(
            "quota_reserve",
            ErrorClass.QUOTA,
            "The daily quota of the account is nearly used up.",
            "What is left is kept for password resets and invitations.",
            "Nothing to do: the mail leaves as room gets free. If this happens often, ask AWS for a higher quota under Service Quotas → Amazon SES.",
        ),
        _problem(
            "reputation_guard",
            ErrorClass.QUOTA,
            "Too much mail bounces or is called spam, so notices wait.",
            "AWS stops an account for that. Replies, password resets and invitations still leave; notices and summaries wait until the rate has fallen.",
            "Look in Admin Panel → Email Activity at what bounced and correct or remove those addresses. Notices then leave by themselves; “Let notices go” there sends them all the same.",
        ),
        _problem(
            "suppressed",
            ErrorClass.MSG,
            "The address gets no mail.",
            "It is on TicketFlow’s suppression list: mail to it bounced, its owner complained, or an admin put it there. More such mail would make AWS stop the account.",
            "Look the address up in Admin Panel → Suppression List. If it takes mail again, release it there, then retry the message.",
        ),
        _problem(
            "address_held",
            ErrorClass.SANDBOX,
            "Mail to this address waits for a while.",
            "Several mails in a row did not get through: the mailbox is full, say, or its server is away.",
            "Nothing to do: the message leaves by itself when the time is over. To send it sooner, release the address in Admin Panel → Suppression List.",
        ),
        _problem(
            "expired",
            ErrorClass.MSG,
            "It could not be sent in time and was given up.",
            "It waited longer than sending it makes sense.",
            "Mend what kept it, then retry it. If it carried a link, do again what the mail was about instead.",
        ),
        _problem(
            "link_void",
            ErrorClass.MSG,
            "The link in this message does not work any more.",
            "A newer one was made, or nobody needs it now.",
            "Nothing to do. If the person still waits for it, do again what the mail was about, and a new one is made.",
        ),
        _problem(
            "sender_failed",
            ErrorClass.NOTSENT,
            "TicketFlow could not build or send this message.",
            "This is an error of TicketFlow itself; the log of the worker has it.",
            "It is tried again, five times in all. Report it with the log if it stays.",
        ),
        _problem(
            "gave_up",
            ErrorClass.MSG,
            "The message was given up after {attempts} tries.",
            "Each try ended in an error of TicketFlow itself; the log of the worker has it.",
            "Report it with the log, and retry the message when it is mended.",
        ),
    ]
}
