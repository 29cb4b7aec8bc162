"""The regions where Amazon SES is offered, as the SDK knows them."""

from functools import cache

from botocore.exceptions import UnknownRegionError
from botocore.loaders import create_loader
from botocore.regions import EndpointResolver


@cache
def regions() -> list[tuple[str, str]]:
    """Return (code, "Europe (Ireland)") of every region with SES, sorted by code."""
    known = _resolver()
    codes = {
        code
        for partition in known.get_available_partitions()
        for code in known.get_available_endpoints("email", partition)
        if not code.endswith("-fips") and not code.startswith("fips-")
    }
    labels = _labels()
    return [(code, labels.get(code, code)) for code in sorted(codes)]


@cache
def partition_of(region: str) -> str:
    """Return the second part of an ARN in that region: "aws", "aws-us-gov" and so on.

    A region that nobody knows, an empty one too, counts as one of "aws".
    """
    try:
        return _resolver().get_partition_for_region(region)
    except UnknownRegionError:
        return "aws"


def _resolver() -> EndpointResolver:
    """Not that of a session, which begins with what the environment says.

    A wrong AWS_PROFILE there would take the page away that tells of it.
    """
    return EndpointResolver(create_loader().load_data("endpoints"))


def _labels() -> dict[str, str]:
    endpoints = create_loader().load_data("endpoints")
    return {
        code: region["description"]
        for partition in endpoints["partitions"]
        for code, region in partition["regions"].items()
    }
