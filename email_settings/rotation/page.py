"""What the page of a rotation shows: its stages, what it waits for, and what can be done."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from email_settings.models import KeyRotation
from email_settings.rotation import machine, steps

Step = KeyRotation.Step


@dataclass(frozen=True)
class Stage:
    """One line of the way from the old key to the new one."""

    tone: str  # ok, run, warn, idle
    icon: str
    title: str
    text: str


@dataclass(frozen=True)
class Button:
    """Something an admin may do now."""

    do: str  # of views/rotation.py
    label: str
    value: str = ""  # what it is about: a code, a key
    is_main: bool = False
    is_danger: bool = False


# The stages of the way there; each covers some steps.
_WAY: list[tuple[tuple[KeyRotation.Step, ...], str, str]] = [
    ((Step.CREATE, Step.PASTE), "A new key", "Beside the old one, which stays in use."),
    ((Step.TRY,), "Tried", "Same account, and the rights of the old one."),
    ((Step.TEST,), "Test e-mail", "Sent with the new key; all others use the old one."),
    ((Step.SWITCH,), "Switched", "The next message leaves with the new key."),
    (
        (Step.WATCH,),
        "Old key unused",
        "Looked at until nothing has used it for a while.",
    ),
    ((Step.DISABLE, Step.REST), "Old key off", "For a day, so that it can come back."),
    ((Step.DELETE,), "Old key deleted", "And its secret wiped here."),
]
_DOING = {
    Step.CREATE: "AWS is asked for a new key.",
    Step.PASTE: "It waits for you: create a key in AWS and paste both parts.",
    Step.TRY: "AWS is asked whose key it is and what it may do.",
    Step.TEST: "A test e-mail is on its way, sent with the new key.",
    Step.SWITCH: "The new key takes the place of the old one.",
    Step.WATCH: "The new key is in use. We wait until nothing has used the old one for "
    "ten minutes.",
    Step.DISABLE: "The old key is switched off.",
    Step.REST: "The old key is off and kept for a day. One click brings it back.",
    Step.DELETE: "The old key is deleted.",
    Step.BACK: "The old key is put in use again.",
    Step.CLEAN: "We wait until nothing uses the new key, and delete it in AWS.",
}
_BACK: list[tuple[tuple[KeyRotation.Step, ...], str, str]] = [
    ((Step.BACK,), "Old key in use again", "The next message leaves with it."),
    ((Step.CLEAN,), "New key removed", "From AWS, if TicketFlow had it made."),
]


def stages(rotation: KeyRotation) -> list[Stage]:
    """Return the way of this rotation and how far it is."""
    way = _BACK if rotation.step in machine.GOING_BACK else _WAY
    if rotation.step == Step.CLEAN and not rotation.switched_at:
        way = _BACK[1:]
    at = next(n for n, (covered, _, _) in enumerate(way) if rotation.step in covered)
    return [
        _stage(rotation, title, text, place - at)
        for place, (_, title, text) in enumerate(way)
    ]


def _stage(rotation: KeyRotation, title: str, text: str, ahead: int) -> Stage:
    if ahead < 0:
        return Stage("ok", "check", title, text)
    if ahead > 0:
        return Stage("idle", "minus", title, text)
    now = doing(rotation)
    if rotation.problem or rotation.step == Step.PASTE:
        return Stage("warn", "alert", title, now)
    icon = "clock" if rotation.step in {Step.WATCH, Step.REST} else "refresh"
    return Stage("run" if icon == "refresh" else "info", icon, title, now)


def doing(rotation: KeyRotation) -> str:
    """Say what happens just now."""
    if rotation.problem:
        if rotation.next_at:
            return f"{rotation.problem['title']} It is tried again by itself."
        return f"{rotation.problem['title']} It waits for you."
    return _DOING[Step(rotation.step)]


def next_moment(rotation: KeyRotation) -> datetime | None:
    """Return when a long wait is over, None for a short one."""
    if rotation.step == Step.REST and rotation.off_at:
        return rotation.off_at + steps.OFF_FOR
    return None


def is_moving(rotation: KeyRotation) -> bool:
    """Whether the page is worth looking at again each few seconds."""
    return rotation.next_at is not None and rotation.step != Step.REST


def may_paste(rotation: KeyRotation) -> bool:
    """Whether the form for the new key is shown."""
    if rotation.step == Step.PASTE:
        return True
    is_stuck = bool(rotation.problem) and not rotation.is_ours
    return is_stuck and rotation.step in {Step.TRY, Step.TEST}


def buttons(rotation: KeyRotation) -> Iterator[Button]:
    """Yield what can be done now, beside going back."""
    problem = rotation.problem
    code = problem.get("code", "")
    if rotation.step == Step.BACK and problem:
        yield Button("keep", "Keep the new key")
    if not problem:
        return
    if code == "orphan_key":
        key = problem.get("key", "")
        yield Button("drop", f"Delete {key} and go on", key, is_danger=True)
    if code == "fewer_permissions":
        yield Button("accept", "Go on all the same", code)
    if code == "old_key_in_use":
        yield Button("accept", "Switch it off all the same", code)
    if code in {"delete_by_hand", "clean_by_hand"}:
        yield Button("finish", "I have deleted it", is_main=True)
    elif code == "still_active":
        yield Button("again", "Check", is_main=True)
    elif code != "other_account":
        yield Button("again", "Try again", is_main=True)


def back_label(rotation: KeyRotation) -> str:
    """Return the label of the button that goes back, "" where there is none."""
    if rotation.step in machine.GOING_BACK or rotation.back_wanted_at:
        return ""
    return "Switch back" if rotation.switched_at else "Cancel"
