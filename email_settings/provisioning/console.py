"""Addresses in the AWS console, which each partition has its own of."""

from email_settings.gateway.regions import partition_of

# https://docs.aws.amazon.com/general/latest/gr/rande.html
_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


def console(path: str, region: str) -> str:
    """Return the address of a page of the console, opened in that region."""
    host = _HOSTS.get(partition_of(region), _HOSTS["aws"])
    return f"https://{region}.{host}/{path.format(region=region)}"
