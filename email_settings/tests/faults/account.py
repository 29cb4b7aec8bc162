"""What processes that write mail say they did, to be compared with the database."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """What the authors say they did: each entry is the mails of one transaction."""

    intended: list[list[str]]
    committed: list[list[str]]
    undone: list[list[str]]

    @classmethod
    def read(cls, path: Path) -> "Account":
        lines = [json.loads(line) for line in path.read_text().splitlines()]

        def said(what: str) -> list[list[str]]:
            return [line["uids"] for line in lines if line["what"] == what]

        return cls(said("intended"), said("committed"), said("undone"))
