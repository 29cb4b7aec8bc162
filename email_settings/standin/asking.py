"""What every operation of the stand-in is given: who asks whom for what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from email_settings.standin.account import ACCOUNT_ID, Account, Region
from email_settings.standin.policies import Question
from email_settings.standin.refused import RefusedError
from email_settings.standin.signature import Signer

Answer = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """One question to one service, with parameters as the SDK's model names them."""

    account: Account
    signer: Signer
    parameters: Mapping[str, Any]

    @property
    def region(self) -> Region:
        return self.account.region(self.signer.region)

    def text(self, name: str) -> str:
        """Return a parameter as text, "" when it is not given."""
        return str(self.parameters.get(name, ""))

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region.name}:{ACCOUNT_ID}:{resource}"

    def may(self, action: str, resource: str = "*", **context: str) -> bool:
        """Whether the one who asks may do that; `context` has : written as __."""
        keys = {name.replace("__", ":"): value for name, value in context.items()}
        keys["aws:username"] = self.signer.key.user
        question = Question(action, resource, context=keys)
        return self.account.may(self.signer.key, question)

    def refusal(self, action: str, resource: str, code: str) -> RefusedError:
        """Return AWS's refusal of what the one who asks may not do."""
        words = (
            f"User: {self.signer.key.arn} is not authorized to perform: {action} on "
            f"resource: {resource} because no identity-based policy allows the "
            f"{action} action"
        )
        return RefusedError(code, words, 403)


Operation = Callable[[Ask], Answer]
