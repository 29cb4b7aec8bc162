"""The least that sending can cost: boto3 in threads, one finished mail again and again.

A child of chain.py. Says "ready" when every thread has sent one mail, begins at the
next line it reads, and ends after the given seconds.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config


def main() -> None:
    """Send the same mail from all threads for so long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--mail", type=Path, required=True)
    options = parser.parse_args()
    content = options.mail.read_bytes()
    # The same client as that of the product, see email_settings.gateway.ses.
    client = boto3.session.Session(
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # noqa: S106 - AWS's example
        region_name="eu-west-1",
    ).client(
        "sesv2",
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=15,
            max_pool_connections=options.threads,
        ),
    )
    is_warm = threading.Barrier(options.threads + 1)
    begin = threading.Event()

    def send() -> None:
        client.send_email(
            Destination={"ToAddresses": ["hannah@larkfield.example"]},
            Content={"Raw": {"Data": content}},
            EmailTags=[
                {"Name": name, "Value": "0" * 32}
                for name in ("tf-inst", "tf-raw", "tf-att")
            ],
        )

    def send_for_a_while() -> None:
        send()
        is_warm.wait()
        begin.wait()
        ends_at = time.monotonic() + options.seconds
        while time.monotonic() < ends_at:
            send()

    threads = [
        threading.Thread(target=send_for_a_while) for _ in range(options.threads)
    ]
    for thread in threads:
        thread.start()
    is_warm.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begin.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
