"""Whether a stand-in on this very machine plays AWS, for tests and the demo.

The environment alone decides, as it does for the SDK; nothing that somebody sends can.
"""

import os
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def stand_in_for(service: str) -> str:
    """Return where the stand-in for that service is, like "http://127.0.0.1:5000".

    "" where AWS itself is asked, or something in its place that is not on this machine.
    """
    # The SDK, too, takes the more exact of the two.
    url = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get(
        "AWS_ENDPOINT_URL", ""
    )
    try:
        parts = urlsplit(url)
        is_here = parts.scheme in {"http", "https"} and parts.hostname in LOOPBACK
    except ValueError:
        return ""
    if not is_here or "@" in parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
