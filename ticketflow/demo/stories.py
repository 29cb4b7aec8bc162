"""What is asked at Larkfield and how it is answered: small plays with blanks to fill."""

import random
from dataclasses import dataclass, field
from enum import Enum

from tickets.models import Ticket

Priority = Ticket.Priority


class Who(Enum):
    """Who speaks in a story."""

    AGENT = "agent"  # a public reply
    REQUESTER = "requester"
    NOTE = "note"  # an agent's internal note


@dataclass(frozen=True)
class Line:
    who: Who
    text: str


@dataclass(frozen=True)
class Story:
    """One kind of request: its opening words and what follows, line by line."""

    queue: str
    subject: str
    opening: str
    lines: tuple[Line, ...]
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True)
class Told:
    """A story with its blanks filled in."""

    queue: str
    subject: str
    opening: str
    priority: Priority
    lines: list[Line] = field(default_factory=list)


BLANKS = {
    "room": ["Severn", "Avon", "Tamar", "Thames", "Wye", "Trent", "Humber", "Mersey"],
    "floor": ["ground", "first", "second", "third", "fourth"],
    "site": ["Plant A", "Plant B", "the Leeds office", "the warehouse", "Head Office"],
    "system": ["SAP", "the expense tool", "the CRM", "the wiki", "the time clock"],
    "device": ["laptop", "docking station", "monitor", "headset", "phone", "tablet"],
    "printer": ["PR-101", "PR-204", "PR-207", "PR-311", "PR-415", "the label printer"],
    "share": ["Audit", "Quality", "Projects", "Marketing", "Suppliers", "Drawings"],
    "month": [
        *["January", "February", "March", "April", "May", "June", "July"],
        *["August", "September", "October", "November", "December"],
    ],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
    "hour": ["08:15", "09:12", "10:40", "11:05", "13:30", "14:50", "16:20"],
    "team": ["Finance", "Quality", "Sales", "Logistics", "Engineering", "Marketing"],
    "thing": [
        *["27-inch monitors", "safety shoes", "whiteboards", "label rolls"],
        *["standing desks", "barcode scanners", "coffee machines", "toner"],
    ],
    "supplier": ["Northway", "Brightline", "Hexagon Tools", "Calder & Sons", "Ostrava"],
    "colleague": [
        "Ines Duarte",
        "Marcus Bell",
        "Katarina Zeman",
        "Leo Park",
        "Ada Finn",
    ],
}


def _story(
    queue: str,
    subject: str,
    opening: str,
    *lines: tuple[Who, str],
    priority: Priority = Priority.NORMAL,
) -> Story:
    return Story(
        queue, subject, opening, tuple(Line(who, text) for who, text in lines), priority
    )


A, R, N = Who.AGENT, Who.REQUESTER, Who.NOTE
IT, HR, ROOMS, BUYING = "IT Support", "HR & Payroll", "Facilities", "Procurement"

STORIES = (
    _story(
        IT,
        "VPN drops every {number} minutes since {day}",
        "Since {day} the VPN disconnects about every **{number} minutes**, in the "
        "middle of calls.\n\n- at home and in {site}\n- Wi-Fi and cable alike\n\n"
        "The last time was at {hour}.",
        (A, "Thank you, that helps. Which version does the client show under *About*?"),
        (R, "It says 5.1.{number}. A colleague in {team} has the same."),
        (N, "Same as the gateway problem in {month}: profile with the old lifetime."),
        (
            A,
            "We have put a new profile on your account. Please sign out and in again, "
            "and tell us whether it holds for an hour.",
        ),
        (R, "Two hours without a drop now. Thank you!"),
        priority=Priority.HIGH,
    ),
    _story(
        IT,
        "{printer} on the {floor} floor prints blank pages",
        "{printer} on the {floor} floor prints blank pages since {hour}. I changed "
        "the cartridge, same result.",
        (N, "Drum counter is at {number},000 pages. There is a spare in the cage."),
        (A, "We will change the drum today before {hour}."),
        (A, "Done. It prints again, please try your own document."),
        (R, "Works, thank you."),
    ),
    _story(
        IT,
        "New starter on {day}: laptop and accounts for {colleague}",
        "{colleague} joins {team} on {day}. Needed:\n\n1. laptop and {device}\n"
        "2. {system}\n3. the share *{share}*",
        (A, "Ordered. The accounts are ready on the evening before."),
        (N, "Licence for {system}: {number} left, enough."),
        (A, "Everything is on the desk on the {floor} floor, with a welcome sheet."),
        priority=Priority.HIGH,
    ),
    _story(
        IT,
        "Cannot sign in to {system}",
        "{system} says *account locked* since {hour}. I have changed my password "
        "last week.",
        (A, "It is unlocked. An old password on your phone keeps locking it."),
        (R, "That was it, the mail program on the phone. All good now."),
    ),
    _story(
        IT,
        "Please restore the folder “{share}” from {day}",
        "Someone moved or deleted the folder `{share}` on {day} around {hour}. About "
        "{number} files were in it.",
        (N, "Backup of {day} 02:00 is complete, checked."),
        (A, "We have put it back as `{share} (restored)`. Is everything there?"),
        (R, "All there. You saved my {month} report."),
    ),
    _story(
        IT,
        "{device} does not wake up after the night",
        "My {device} stays dark in the morning. Only pulling the plug helps. It is "
        "the model from {month}.",
        (
            A,
            "There is a firmware for exactly that. May we take it for an hour on {day}?",
        ),
        (R, "{day} after {hour} is fine."),
        (A, "Updated and tested overnight. Please watch it for a few days."),
        priority=Priority.LOW,
    ),
    _story(
        IT,
        "Shared mailbox of {team}: add {colleague}",
        "{colleague} needs to send as the mailbox of {team}, not just read it.",
        (A, "Done. It can take until {hour} before it shows in the mail program."),
    ),
    _story(
        IT,
        "Suspicious message about an unpaid invoice of {supplier}",
        "I got a mail that says an invoice of {supplier} is overdue, with a link. I "
        "have **not** clicked it. {number} people in {team} got it too.",
        (
            N,
            "Sender domain is two weeks old. Blocked, and removed from {number} boxes.",
        ),
        (A, "Well spotted. It is a forgery; we have removed it everywhere."),
        (R, "Good to know. Thank you for being so quick."),
        priority=Priority.URGENT,
    ),
    _story(
        HR,
        "{month} payslip shows the wrong tax code",
        "My {month} payslip shows 0T instead of 1257L, so I was taxed from the "
        "first pound. The difference is about {number}0 pounds.",
        (N, "Late notice from HMRC, affects {number} people."),
        (A, "You are right, and we are sorry. It is corrected with the next pay."),
        (R, "Thank you. Will I get a new payslip for {month}?"),
        (A, "Yes, it is in your documents now."),
    ),
    _story(
        HR,
        "Days of leave left after {month}",
        "The portal shows {number} days, by my count it should be three more. I "
        "worked on two Saturdays at {site}.",
        (A, "The Saturdays were booked as overtime. Would you rather have the days?"),
        (R, "Yes please, days."),
        (A, "Changed. The portal shows them from tomorrow."),
        priority=Priority.LOW,
    ),
    _story(
        HR,
        "Parental leave from {month}",
        "We expect our second child in {month}. What do you need from me, and by when?",
        (A, "Congratulations! The form is in the wiki; four weeks before is enough."),
        (R, "Sent. Who takes over my approvals in {system}?"),
        (N, "Ask {colleague}, who did it in {month}."),
        (A, "{colleague} does, from the first day of your leave."),
    ),
    _story(
        HR,
        "Reference letter for {colleague}",
        "{colleague} leaves {team} at the end of {month} and asks for a letter.",
        (A, "We have the text of the appraisal. It is ready on {day}."),
    ),
    _story(
        ROOMS,
        "Projector in room {room} turns itself off",
        "After about {number} minutes the projector in **{room}** goes dark, with "
        "HDMI and with wireless.",
        (N, "Filter was last cleaned in {month}."),
        (A, "It was the air filter. Cleaned, and it ran for two hours."),
        (R, "We had a whole meeting with it today, thank you."),
    ),
    _story(
        ROOMS,
        "Too cold on the {floor} floor of {site}",
        "It is {number} degrees at {hour}, and {team} sits in coats.",
        (A, "The heating starts an hour earlier from {day}. Please tell us how it is."),
        (R, "Better, but the corner near room {room} is still cold."),
        (N, "Valve on the north side stuck, plumber on {day}."),
        (A, "The plumber has changed a valve. It should be warm now."),
        priority=Priority.HIGH,
    ),
    _story(
        ROOMS,
        "Badge reader at {site} stays red",
        "The reader at the side door of {site} stays red for the night shift. "
        "{number} people had to be let in by the guard.",
        (A, "The shift group was missing after the update. It is back."),
        (R, "Everybody got in last night."),
        priority=Priority.HIGH,
    ),
    _story(
        ROOMS,
        "Desk for {colleague} on the {floor} floor",
        "{colleague} moves from {team} to us on {day}. A desk near room {room} "
        "would be perfect.",
        (A, "Desk {number} is free from {day}. Shall we move the {device} as well?"),
        (R, "Yes, all of it."),
        (A, "Moved and plugged in."),
        priority=Priority.LOW,
    ),
    _story(
        BUYING,
        "Quote for {number} {thing}",
        "{team} needs {number} {thing} at {site} before the end of {month}.",
        (A, "{supplier} offers them with delivery in two weeks. May we order?"),
        (R, "Yes, on the cost centre of {team}."),
        (N, "Framework contract with {supplier} ends in {month}, watch the price."),
        (A, "Ordered. Delivery is on {day}, the number is PO-{number}71."),
    ),
    _story(
        BUYING,
        "Invoice of {supplier} does not match the order",
        "The invoice of {supplier} lists {number} {thing}, we got two fewer.",
        (N, "Delivery note of {day} confirms it."),
        (A, "{supplier} sends a credit note this week."),
        (R, "It has arrived, you can close this."),
    ),
    _story(
        BUYING,
        "New supplier: {supplier}",
        "For {thing} we would like to try {supplier}. Their offer is attached to "
        "our page in the wiki.",
        (A, "We need their certificate of {month} first. Could you ask for it?"),
        (R, "Asked, they promised it for {day}."),
        (A, "Received and checked, {supplier} is in {system} now."),
        priority=Priority.LOW,
    ),
)
_BY_QUEUE = {
    queue: [story for story in STORIES if story.queue == queue]
    for queue in (IT, HR, ROOMS, BUYING)
}


def tell(rng: random.Random, queue: str) -> Told:
    """Return a story of the queue with its blanks filled in, the same ones throughout."""
    story = rng.choice(_BY_QUEUE[queue])
    words = {blank: rng.choice(choices) for blank, choices in BLANKS.items()}
    words["number"] = str(rng.randint(2, 48))

    def fill(text: str) -> str:
        filled = text.format_map(words)
        return filled[0].upper() + filled[1:]

    return Told(
        queue=story.queue,
        subject=fill(story.subject),
        opening=fill(story.opening),
        priority=story.priority
        if rng.random() < 0.8
        else rng.choice(list(Ticket.Priority)),
        lines=[Line(line.who, fill(line.text)) for line in story.lines],
    )
