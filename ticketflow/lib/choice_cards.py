"""A choice of a form with more to say than its name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChoiceCard:
    """The label of a radio button that is shown as a card.

    Give it where Django takes a label: `choices=[("agent", ChoiceCard("Agent", …))]`.
    """

    name: str
    description: str = ""
    icon: str = ""  # a symbol of icons.svg

    def __str__(self) -> str:
        return self.name
