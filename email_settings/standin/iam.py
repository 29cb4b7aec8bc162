"""AWS IAM: users, their policies and their access keys."""

import secrets
import string

from email_settings.standin.account import Key, User
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.policies import MalformedPolicyError, read_policy
from email_settings.standin.refused import RefusedError

MOST_KEYS = 2
_BASE32 = string.ascii_uppercase + "234567"
_BASE64 = string.ascii_letters + string.digits + "+/"


def new_key_id(kind: str = "AKIA") -> str:
    return kind + "".join(secrets.choice(_BASE32) for _ in range(16))


def new_secret() -> str:
    return "".join(secrets.choice(_BASE64) for _ in range(40))


def create_user(ask: Ask) -> Answer:
    user = User(ask.text("UserName"))
    _allow(ask, "iam:CreateUser", user)
    if user.name in ask.account.users:
        words = f"User with name {user.name} already exists."
        raise RefusedError("EntityAlreadyExists", words, 409)
    ask.account.users[user.name] = user
    return {"User": _shown(ask, user)}


def get_user(ask: Ask) -> Answer:
    return {"User": _shown(ask, _user(ask, "iam:GetUser"))}


def put_user_policy(ask: Ask) -> Answer:
    user = _user(ask, "iam:PutUserPolicy")
    try:
        policy = read_policy(ask.text("PolicyDocument"))
    except MalformedPolicyError as error:
        raise RefusedError("MalformedPolicyDocument", str(error)) from None
    user.policies[ask.text("PolicyName")] = policy
    return {}


def create_access_key(ask: Ask) -> Answer:
    user = _user(ask, "iam:CreateAccessKey")
    others = ask.account.keys_of(user.name)
    if len(others) >= MOST_KEYS:
        words = f"Cannot exceed quota for AccessKeysPerUser: {MOST_KEYS}"
        raise RefusedError("LimitExceeded", words, 409)
    now = ask.account.now()
    key = ask.account.add_key(
        new_key_id(),
        new_secret(),
        user=user.name,
        # Rights belong to the user: all its keys have the same.
        actions=others[0].actions if others else frozenset(),
        policy=others[0].policy if others else None,
        created_at=now,
        works_from=now + ask.account.new_keys_take,
    )
    return {"AccessKey": {**_metadata(key), "SecretAccessKey": key.secret}}


def list_access_keys(ask: Ask) -> Answer:
    user = _user(ask, "iam:ListAccessKeys")
    keys = ask.account.keys_of(user.name)
    return {"AccessKeyMetadata": [_metadata(key) for key in keys], "IsTruncated": False}


def update_access_key(ask: Ask) -> Answer:
    key = _key(ask, "iam:UpdateAccessKey")
    key.is_active = ask.text("Status") == "Active"
    return {}


def delete_access_key(ask: Ask) -> Answer:
    del ask.account.keys[_key(ask, "iam:DeleteAccessKey").access_key_id]
    return {}


def get_access_key_last_used(ask: Ask) -> Answer:
    key = _key(ask, "iam:GetAccessKeyLastUsed")
    last: Answer = {"ServiceName": "N/A", "Region": "N/A"}
    if key.last_used:
        at, service, region = key.last_used
        last = {"LastUsedDate": at, "ServiceName": service, "Region": region}
    return {"UserName": key.user, "AccessKeyLastUsed": last}


def _user(ask: Ask, action: str) -> User:
    """Return the user that is named, or else whose key asks."""
    name = ask.text("UserName") or ask.signer.key.user
    _allow(ask, action, User(name))
    if name not in ask.account.users:
        words = f"The user with name {name} cannot be found."
        raise RefusedError("NoSuchEntity", words, 404)
    return ask.account.users[name]


def _key(ask: Ask, action: str) -> Key:
    found = ask.account.keys.get(ask.text("AccessKeyId"))
    owner = ask.text("UserName") or (found or ask.signer.key).user
    _allow(ask, action, User(owner))
    if found is None or found.user != owner:
        words = f"The Access Key with id {ask.text('AccessKeyId')} cannot be found."
        raise RefusedError("NoSuchEntity", words, 404)
    return found


def _allow(ask: Ask, action: str, user: User) -> None:
    if not ask.may(action, user.arn):
        raise ask.refusal(action, user.arn, "AccessDenied")


def _shown(ask: Ask, user: User) -> Answer:
    return {
        "Path": "/",
        "UserName": user.name,
        "UserId": "AIDAEXAMPLEEXAMPLE",
        "Arn": user.arn,
        "CreateDate": ask.account.now(),
    }


def _metadata(key: Key) -> Answer:
    return {
        "UserName": key.user,
        "AccessKeyId": key.access_key_id,
        "Status": "Active" if key.is_active else "Inactive",
        "CreateDate": key.created_at,
    }


OPERATIONS: dict[str, Operation] = {
    "CreateAccessKey": create_access_key,
    "CreateUser": create_user,
    "DeleteAccessKey": delete_access_key,
    "GetAccessKeyLastUsed": get_access_key_last_used,
    "GetUser": get_user,
    "ListAccessKeys": list_access_keys,
    "PutUserPolicy": put_user_policy,
    "UpdateAccessKey": update_access_key,
}
