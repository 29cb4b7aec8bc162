"""Who works at Larkfield, and what its help desk is made of. All of it is invented."""

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from accounts.models import Role

DOMAIN = "larkfield.example"
NAME = "Larkfield"
PASSWORD = "larkfield demo"  # noqa: S105


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    role: Role


@dataclass(frozen=True)
class Team:
    """A queue and the agents who are told of new tickets in it."""

    queue: str
    description: str
    icon: str
    members: tuple[str, ...]
    weight: int  # its share of all tickets


ADMIN = "Ewa Kowalska"
AGENTS = (
    "Maya Okafor",
    "Jonas Lindqvist",
    "Priya Raman",
    "Tomás Herrera",
    "Petra Vogel",
)
# The first requesters, whom documents and screenshots speak of.
REQUESTERS = (
    "Hannah Brooks",
    "Samuel Adeyemi",
    "Noor Haddad",
    "Daniel Whitlock",
    "Lena Fischer",
    "Oliver Grant",
    "Aiko Tanaka",
    "Marta Rossi",
    "Ben Sutter",
    "Chloé Martin",
)
TEAMS = (
    Team(
        "IT Support",
        "Computers, phones, accounts and software",
        "laptop",
        ("Maya Okafor", "Jonas Lindqvist"),
        55,
    ),
    Team(
        "HR & Payroll",
        "Pay, leave, contracts and new starters",
        "wallet",
        ("Priya Raman", "Petra Vogel"),
        18,
    ),
    Team(
        "Facilities",
        "Buildings, rooms, heating and access",
        "building",
        ("Tomás Herrera", "Maya Okafor"),
        17,
    ),
    Team(
        "Procurement",
        "Orders, suppliers and invoices",
        "box",
        ("Tomás Herrera", "Petra Vogel"),
        10,
    ),
)

_FIRST_NAMES = """
    Adaeze Agnes Ahmed Alba Amara Anders Anika Antoine Arjun Astrid Beatriz Bilal
    Bruno Camille Carlos Chiara Clara Dario David Dina Edwin Elif Elena Emeka Emil
    Esther Farah Felix Fiona Freya Gareth Giulia Grace Hamza Hana Henrik Hugo Ines
    Imran Ingrid Isla Ivan Jade Javier Jin Joanna Jorge Julia Kai Karim Katya Kenji
    Kofi Laila Lars Leah Leon Lina Louis Lucía Magnus Malik Mei Milan Mina Nadia
    Niamh Nikolai Nina Olga Omar Oscar Paulina Pavel Rafael Rania Rosa Ruth Sadia
    Sami Sara Selma Sofia Stefan Tariq Tessa Theo Uma Vera Viktor Wei Yara Yusuf Zofia
"""
_LAST_NAMES = """
    Abara Ahlberg Almeida Bauer Bianchi Bright Castillo Chandra Chen Conti Costa
    Dahl Danso Dubois Eriksen Farouk Ferrari Fletcher Fontaine Gallo Garner Gupta
    Hale Hansen Hartley Horvat Hughes Ibrahim Iyer Jansen Kamara Kaplan Keller Khan
    Kim Kovač Kruger Lambert Larsen Lopes Marsh Mensah Mercer Meyer Moreau Nakamura
    Nash Nguyen Novak Nyberg Obi Olsen Ortega Osei Pereira Petrov Pike Popescu Quist
    Rahman Reyes Richter Rivera Roth Sato Schmid Shaw Silva Singh Sørensen Stone Sun
    Tahir Turner Ueda Usman Varga Vasquez Walsh Weber Winter Wolff Wright Yilmaz Zhou
"""


def people(rng: random.Random, count: int) -> Iterator[Person]:
    """Yield `count` people, at least the admin, the agents and one requester.

    The known ones come first; a fortieth of everybody else are agents too.
    """
    first_names, last_names = _FIRST_NAMES.split(), _LAST_NAMES.split()
    yield _person(ADMIN, Role.ADMIN)
    for name in AGENTS:
        yield _person(name, Role.AGENT)
    others = max(1, count - 1 - len(AGENTS))
    for name in REQUESTERS[:others]:
        yield _person(name, Role.REQUESTER)
    for index in range(others - len(REQUESTERS)):
        name = f"{rng.choice(first_names)} {rng.choice(last_names)}"
        role = Role.AGENT if index % 40 == 39 else Role.REQUESTER
        yield _person(name, role, distinct=str(index + 1))


def _person(name: str, role: Role, *, distinct: str = "") -> Person:
    plain = unicodedata.normalize("NFKD", name.replace("ø", "o"))
    ascii_name = plain.encode("ascii", "ignore").decode()
    local = ".".join(ascii_name.lower().split())
    return Person(name, f"{local}{distinct}@{DOMAIN}", role)
