"""The IAM policy that TicketFlow needs, and nothing more."""

import json


def iam_policy() -> str:
    """Return the policy as the IAM console takes it.

    Sending raw MIME through SendEmail is authorised as SendRawEmail; the two reads
    feed the checklist. GetCallerIdentity needs no permission.
    """
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": [
                        "ses:SendEmail",
                        "ses:SendRawEmail",
                        "ses:GetAccount",
                        "ses:GetEmailIdentity",
                    ],
                    "Resource": "*",
                }
            ],
        },
        indent=2,
    )
