"""Makes the calls and writes down what AWS answered."""

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from email_settings.events.status import feed_status
from email_settings.field_check.plan import Probe
from email_settings.field_check.redaction import Redactor
from email_settings.gateway.field import Reply
from email_settings.models import DeliveryAttempt, SesSettings

PAUSE = 1.1  # seconds: AWS takes one call a second that is no send
MOST_KEPT = 50  # different refusals that mail has met here


def run(
    wanted: Iterable[Probe],
    redactor: Redactor,
    *,
    say: Callable[[str], object],
) -> Iterator[str]:
    """Make the calls and yield the report, line by line, with nothing private in it.

    Mail to a stranger is sent only where GetAccount said that this is the sandbox.
    """
    yield "# Field check of Amazon SES"
    yield ""
    yield f"boto3 {version('boto3')}, botocore {version('botocore')}, Python {platform.python_version()}"
    is_sandbox = False
    for probe in wanted:
        if probe.is_for_sandbox and not is_sandbox:
            yield from ["", f"## {probe.name}", "not tried: only in the sandbox"]
            continue
        reply = probe.call()
        if probe.name == "account":
            is_sandbox = reply.body.get("ProductionAccessEnabled") is False
        said = reply.code or "done"
        say(f"{probe.name}: {redactor.words(said)}")
        yield from ["", f"## {probe.name}", probe.asks, ""]
        yield from _lines(reply, redactor)
        time.sleep(PAUSE)


def _lines(reply: Reply, redactor: Redactor) -> Iterator[str]:
    yield f"code: {redactor.words(reply.code) or '(done)'}"
    yield f"HTTP status: {reply.status}, request id: {'yes' if reply.has_request_id else 'no'}"
    yield f"seconds: {reply.seconds:.1f}"
    if reply.message:
        yield f"words: {redactor.words(reply.message)}"
    if reply.body:
        yield json.dumps(redactor.shape(reply.body), indent=1)


def kept_here(redactor: Redactor) -> Iterator[str]:
    """Yield the refusals that mail has met in this installation, each once."""
    yield from ["", "## What mail has met here"]
    met = (
        DeliveryAttempt.objects.exclude(error_code="")
        .order_by()
        .values_list("error_code", "error_detail")
        .distinct()
    )
    words = {f"{code}: {redactor.words(detail)}" for code, detail in met[:MOST_KEPT]}
    yield from sorted(words) or ["nothing"]


def lag_of_events(sender: SesSettings) -> Iterator[str]:
    """Yield how long the simulator's events took."""
    yield from ["", "## How long events take"]
    trials = feed_status(sender).trials
    seen = {kind: trial.delay for kind, trial in trials.items() if trial.delay}
    for kind, delay in seen.items():
        yield f"{kind}: {delay.total_seconds():.0f} seconds"
    if not seen:
        yield "not seen: send to the simulator in Email Settings first"
