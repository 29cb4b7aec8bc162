"""Where in the AWS console something is mended."""

# Regions outside of the usual partition have a console of their own.
CONSOLES = {
    "us-gov-": "console.amazonaws-us-gov.com",
    "eusc-": "console.amazonaws-eusc.eu",
}


def console_url(region: str, page: str) -> str:
    """Return the address of a page of Amazon SES in that region: "identities", "account"."""
    domain = next(
        (domain for start, domain in CONSOLES.items() if region.startswith(start)),
        "console.aws.amazon.com",
    )
    return f"https://{region}.{domain}/ses/home?region={region}#/{page}"
