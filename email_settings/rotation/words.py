"""What stands in the way of a rotation, and what to do about it, in plain words."""

from collections.abc import Mapping

from email_settings.gateway.errors import SendError

USERS = "IAM → Users → {user} → Security credentials"

# Each: what happened, why, how to mend it
PROBLEMS: dict[str, tuple[str, str, str]] = {
    "two_keys": (
        "The user has two access keys already.",
        "AWS allows two for each user, so that no third can be made: {others} is there "
        "beside the one in use.",
        f"If nothing uses {{others}}, delete it in AWS under {USERS}, then try again.",
    ),
    "orphan_key": (
        "There is a key that nobody knows the secret of: {orphan}.",
        "It appeared after this rotation began: TicketFlow was interrupted between "
        "asking AWS for a key and storing it, or somebody made a key by hand. AWS tells "
        "a secret only once.",
        "If nobody you know made it, delete it here and go on. Otherwise cancel, and "
        "rotate with that key: choose to create the key yourself.",
    ),
    "other_account": (
        "The new key belongs to another AWS account.",
        "It is of account {new_account}, the key in use of account {old_account}. Mail "
        "would leave with other senders, limits and a reputation of its own.",
        "Paste a key of account {old_account}. To move to another account, save its key "
        "in Email Settings.",
    ),
    "same_key": (
        "This is the key that is in use.",
        "A rotation needs another one.",
        f"Create a second key in AWS under {USERS}, and paste both of its parts.",
    ),
    "fewer_permissions": (
        "The new key may do less than the one in use.",
        "AWS refuses it what it allows the old one: {lost}.",
        "Give the user of the new key the same policies, then try again. Mail can leave "
        "without these rights, but Email Settings will know less.",
    ),
    "old_key_in_use": (
        "Something else uses the old key.",
        "AWS says that it was last used {when}, for {service} in {region}. TicketFlow "
        "has not used it since the switch.",
        "Find the other program and give it a key of its own. Or switch the old key off "
        "all the same: that can be undone for a day.",
    ),
    "still_active": (
        "The old key is still active.",
        "This key may not switch it off by itself, so it is up to you.",
        f"In AWS open {USERS} → {{old}} → Actions → Deactivate. Then press Check.",
    ),
    "delete_by_hand": (
        "The old key can be deleted now.",
        "It has been off for a day and nothing missed it. This key may not delete it by "
        "itself.",
        f"In AWS open {USERS} → {{old}} → Actions → Delete. Then finish here: the old "
        "secret is wiped.",
    ),
    "old_key_off": (
        "The old key is not active, so that mail can't leave with it.",
        "It was deactivated in AWS, and this key may not activate it again.",
        f"In AWS open {USERS} → {{old}} → Actions → Activate. Then press Try again. "
        "Until then the new key stays in use.",
    ),
    "clean_by_hand": (
        "The new key is still in AWS.",
        "The key in use may not delete it.",
        "In AWS open IAM → Users → {new_user} → Security credentials → {new} → Actions → "
        "Deactivate, then Delete. Then finish here.",
    ),
    "secret_unreadable": (
        "A stored secret can't be read.",
        "{why}",
        "Put the key file back. Nothing was changed.",
    ),
}


def problem(code: str, *, words: str = "", **values: object) -> dict[str, str]:
    """Return the texts for a code, with the values in them, as the row stores them."""
    title, why, fix = (text.format_map(_Known(values)) for text in PROBLEMS[code])
    return {"code": code, "title": title, "why": why, "fix": fix, "words": words}


def problem_of(error: SendError) -> dict[str, str]:
    """Return the texts for what AWS answered."""
    found = error.problem
    return {
        "code": found.code,
        "title": found.title,
        "why": found.why,
        "fix": found.fix,
        "words": error.record,
    }


class _Known(dict[str, object]):
    def __init__(self, values: Mapping[str, object]) -> None:
        super().__init__({name: value for name, value in values.items() if value})

    def __missing__(self, name: str) -> str:
        return "the user of the key" if name.endswith("user") else "?"
