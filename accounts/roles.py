"""The one table of what each role may do."""

from dataclasses import dataclass

from accounts.models import Role


@dataclass(frozen=True)
class RoleCard:
    """A role as people see it; as the label of a choice it shows icon and description."""

    value: Role
    description: str
    icon: str
    invited_to: str  # completes "Ewa invited you to …"

    def __str__(self) -> str:
        return str(self.value.label)

    @property
    def with_article(self) -> str:
        """The role within a sentence: "an agent"."""
        word = str(self.value.label).lower()
        return f"an {word}" if word[0] in "aeiou" else f"a {word}"


CARDS = (
    RoleCard(
        value=Role.REQUESTER,
        description="Opens and follows own tickets",
        icon="user",
        invited_to="open and follow tickets",
    ),
    RoleCard(
        value=Role.AGENT,
        description="Answers tickets in every queue",
        icon="inbox",
        invited_to="answer tickets",
    ),
    RoleCard(
        value=Role.ADMIN,
        description="Everything, including e-mail and people",
        icon="shield",
        invited_to="run the help desk",
    ),
)
CHOICES = [(card.value, card) for card in CARDS]
_BY_ROLE = {card.value: card for card in CARDS}


def card(role: str) -> RoleCard:
    """Return the card of a role as it is stored in the database."""
    return _BY_ROLE[Role(role)]
