"""The time zones that people choose from."""

import zoneinfo
from functools import cache

_AREAS = {
    "Africa",
    "America",
    "Antarctica",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
}


@cache
def choices() -> list[tuple[str, str]]:
    """Return the zones named after places, and UTC first, as choices of a form."""
    places = sorted(
        name
        for name in zoneinfo.available_timezones()
        if name.partition("/")[0] in _AREAS
    )
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]
