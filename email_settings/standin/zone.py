"""The stand-in's DNS: the records that somebody published, and how asking goes wrong."""

from dataclasses import dataclass, field
from enum import Enum

FARTHEST = 8  # aliases that are followed for one question


class Answer(Enum):
    """What asking for a name comes to."""

    FOUND = "found"
    NO_SUCH_TYPE = "the name exists, without records of this kind"
    NO_SUCH_NAME = "no such name"
    SERVER_FAILS = "the server says that it failed"
    SILENCE = "nothing answers"


BROKEN = frozenset({Answer.SERVER_FAILS, Answer.SILENCE})


@dataclass
class Zone:
    """Every record in the world, by name and kind. Names are kept in small letters."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    # A name, or "" for all of them, and how it goes wrong
    broken: dict[str, Answer] = field(default_factory=dict)

    def publish(self, name: str, kind: str, value: str) -> None:
        """Add a record; one that is there already stays once."""
        values = self.records.setdefault((_plain(name), kind), [])
        if value not in values:
            values.append(value)

    def withdraw(self, name: str, kind: str) -> None:
        self.records.pop((_plain(name), kind), None)

    def put(self, name: str, kind: str, value: str) -> None:
        """Let this be the only record of its kind at the name."""
        self.withdraw(name, kind)
        self.publish(name, kind, value)

    def values(self, name: str, kind: str) -> list[str]:
        return self.records.get((_plain(name), kind), [])

    def find(self, name: str, kind: str) -> tuple[Answer, list[tuple[str, str, str]]]:
        """Return the answer, and the records as name, kind and value.

        An alias is followed, as a resolver does, unless the alias itself is asked for.
        """
        found: list[tuple[str, str, str]] = []
        asked = _plain(name)
        for _ in range(FARTHEST):
            if trouble := self.broken.get(asked) or self.broken.get(""):
                return trouble, []
            if values := self.values(asked, kind):
                found += [(asked, kind, value) for value in values]
                break
            alias = self.values(asked, "CNAME")
            if not alias:
                break
            found.append((asked, "CNAME", alias[0]))
            asked = _plain(alias[0])
        if found:
            return Answer.FOUND, found
        return self._nothing_at(asked), []

    def _nothing_at(self, name: str) -> Answer:
        below = f".{name}"
        names = {known for known, _ in self.records}
        is_known = any(known == name or known.endswith(below) for known in names)
        return Answer.NO_SUCH_TYPE if is_known else Answer.NO_SUCH_NAME


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
