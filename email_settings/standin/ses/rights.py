"""Whether a key may do something in SES."""

from email_settings.standin.asking import Ask


def allow(ask: Ask, action: str, resource: str = "", **context: str) -> None:
    """Raise RefusedError unless the policy of the key allows the action.

    `resource` is like "identity/example.com"; without one the action is about all.
    """
    arn = ask.arn("ses", resource) if resource else "*"
    if not ask.may(action, arn, ses__apiversion="2", **context):
        raise ask.refusal(action, arn, "AccessDeniedException")
