"""Reads IAM's policies as AWS does, as far as TicketFlow's own ones go.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]
_EXACT = frozenset({"StringEquals", "ArnEquals"})
_LIKE = frozenset({"StringLike", "ArnLike"})
KNOWN_CONDITIONS = _EXACT | _LIKE | {"StringEqualsIgnoreCase"}


class MalformedPolicyError(ValueError):
    """No policy, or one with a condition that the stand-in does not know."""


@dataclass(frozen=True)
class Question:
    """May this be done? `service` is set where a service of AWS itself asks."""

    action: str
    resource: str = "*"
    service: str = ""
    # Keys of conditions in small letters, and what they are in this question
    context: Mapping[str, str] = field(default_factory=dict)


def read_policy(text: str) -> Policy:
    """Return the policy. Raises MalformedPolicyError."""
    try:
        policy = json.loads(text)
        statements = _statements(policy)
    except (ValueError, AttributeError, TypeError):
        raise MalformedPolicyError("Syntax errors in policy.") from None
    if not statements:
        raise MalformedPolicyError("Syntax errors in policy.")
    for statement in statements:
        if not {"Effect", "Action", "Resource"} <= set(statement):
            raise MalformedPolicyError("Syntax errors in policy.")
        if unknown := set(statement.get("Condition", {})) - KNOWN_CONDITIONS:
            raise MalformedPolicyError(f"Unknown condition {sorted(unknown)}")
    return policy  # type: ignore[no-any-return]


def is_allowed(policies: Iterable[Policy], question: Question) -> bool:
    """Whether some statement allows it and none denies it."""
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in _statements(policy)
        if _fits(statement, question)
    }
    return "Allow" in effects and "Deny" not in effects


def _statements(policy: Policy) -> list[Mapping[str, Any]]:
    return [dict(s) for s in _several(policy.get("Statement", []))]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _fits(statement: Mapping[str, Any], question: Question) -> bool:
    return (
        _is_principal(statement, question.service)
        and any(
            _is_like(pattern.lower(), question.action.lower())
            for pattern in _several(statement["Action"])
        )
        and any(
            _is_like(_filled(pattern, question), question.resource)
            for pattern in _several(statement["Resource"])
        )
        and all(
            _holds(operator, key, wanted, question)
            for operator, wants in statement.get("Condition", {}).items()
            for key, wanted in wants.items()
        )
    )


def _is_principal(statement: Mapping[str, Any], service: str) -> bool:
    principal = statement.get("Principal")
    if not service:
        return principal is None  # a policy of a user names nobody
    if principal == "*":
        return True
    named = principal.get("Service", []) if isinstance(principal, Mapping) else []
    return service in _several(named)


def _holds(operator: str, key: str, wanted: Any, question: Question) -> bool:
    found = question.context.get(key.lower())
    if found is None:
        return False
    values = [_filled(value, question) for value in _several(wanted)]
    if operator in _EXACT:
        return found in values
    if operator == "StringEqualsIgnoreCase":
        return found.lower() in [value.lower() for value in values]
    return any(_is_like(value, found) for value in values)


def _filled(text: str, question: Question) -> str:
    return text.replace("${aws:username}", question.context.get("aws:username", ""))


def _is_like(pattern: str, text: str) -> bool:
    """Whether the text is what the pattern with its * and ? describes."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None
