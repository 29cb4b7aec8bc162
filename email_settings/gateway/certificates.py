"""The certificates that Amazon SNS signs with, fetched from AWS and kept for a day."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.httpsession import URLLib3Session
from botocore.loaders import create_loader
from botocore.utils import get_environ_proxies
from cryptography import x509
from urllib3.exceptions import HTTPError

from email_settings import sns
from email_settings.gateway.stood_in import stand_in_for

SECONDS = 5  # for connecting, and for each piece of the answer
KEPT_SECONDS = 24 * 3600.0
MOST_KEPT = 8  # SNS has one or two for a region
# More than this nobody honest needs: one who knows our topic could name a thousand.
MOST_A_MINUTE = 6
# How long a post waits for one that another post fetches
PATIENCE_SECONDS = 1.0


class CertificateAwayError(Exception):
    """It can't be had just now; SNS posts again later."""


@cache
def host_of_topics(region: str, partition: str) -> str:
    """Return the host of Amazon SNS there, by what the SDK knows of the partition."""
    data = create_loader().load_data("endpoints")
    suffixes = {one["partition"]: one["dnsSuffix"] for one in data["partitions"]}
    return f"sns.{region}.{suffixes.get(partition, 'amazonaws.com')}"


def certificate_origin(topic_arn: str) -> str:
    """Return where the certificates of that topic's region are, without the path.

    A stand-in on this machine, where the environment names one, has its own.
    """
    _, partition, _, region, *_ = topic_arn.split(":")
    return stand_in_for("sns") or f"https://{host_of_topics(region, partition)}"


def fetch(url: str) -> bytes:
    """Return what is there, without following anything. Raises CertificateAwayError.

    Whoever calls it has made sure that the URL is one of certificate_origin().
    """
    is_far = url.startswith("https:")
    session = URLLib3Session(
        # As the SDK itself does behind a proxy that looks into TLS
        verify=os.environ.get("AWS_CA_BUNDLE") or True,  # type: ignore[arg-type]
        proxies=get_environ_proxies(url) if is_far else {},
        timeout=SECONDS,
    )
    request = AWSRequest(method="GET", url=url, stream_output=True)
    try:
        answer = session.send(request.prepare())
        if answer.status_code != 200:
            raise CertificateAwayError(f"AWS answered with {answer.status_code}")
        found = answer.raw.read(sns.LARGEST_CERTIFICATE + 1)
    except (HTTPClientError, BotoCoreError, HTTPError, OSError) as error:
        raise CertificateAwayError(type(error).__name__) from error
    finally:
        session.close()
    if len(found) > sns.LARGEST_CERTIFICATE:
        raise sns.PostRefusedError(403, "What is at that URL is no certificate.")
    return bytes(found)


@dataclass(frozen=True)
class _Kept:
    certificate: x509.Certificate
    until: float  # by the monotonic clock


class Certificates:
    """What was fetched and good. One for the whole process; threads share it."""

    def __init__(self, fetch: Callable[[str], bytes] = fetch) -> None:
        self._fetch = fetch
        self._kept: dict[str, _Kept] = {}
        self._fetching = threading.Lock()
        self._fetched_at: deque[float] = deque(maxlen=MOST_A_MINUTE)

    def get(self, url: str, *, now: datetime) -> x509.Certificate:
        """Return the certificate, valid at `now`.

        Raises CertificateAwayError, and PostRefusedError for what is none.
        """
        kept = self._known(url)
        if kept is None:
            kept = self._fetch_once(url, now)
        sns.check_validity(kept, now=now)
        return kept

    def _known(self, url: str) -> x509.Certificate | None:
        kept = self._kept.get(url)
        return kept.certificate if kept and time.monotonic() < kept.until else None

    def _fetch_once(self, url: str, now: datetime) -> x509.Certificate:
        """Fetch it, one at a time, so that few threads wait for a slow AWS."""
        if not self._fetching.acquire(timeout=PATIENCE_SECONDS):
            raise CertificateAwayError("Another post is fetching one")
        try:
            # Another thread may have had it fetched meanwhile.
            return self._known(url) or self._fetch_now(url, now)
        finally:
            self._fetching.release()

    def _fetch_now(self, url: str, now: datetime) -> x509.Certificate:
        at = time.monotonic()
        times = self._fetched_at
        if len(times) == MOST_A_MINUTE and at - times[0] < 60:
            raise CertificateAwayError("Too many were asked for")
        times.append(at)
        # What is no good is not kept: the next post looks again.
        found = sns.read_certificate(self._fetch(url), now=now)
        while len(self._kept) >= MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[url] = _Kept(found, at + KEPT_SECONDS)
        return found


certificates = Certificates()
