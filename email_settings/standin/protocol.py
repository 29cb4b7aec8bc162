"""Reads requests and writes answers as the SDK's own service models describe them.

Two protocols are spoken: rest-json (SES) and query (STS).
"""

import base64
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from email_settings.standin.refused import RefusedError


@dataclass(frozen=True)
class Request:
    """One HTTP request as it came in; the names of headers are in small letters."""

    method: str
    target: str  # path and query, as they stand in the request line
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@cache
def service_model(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


# rest-json


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    """Return method, pattern of the path and operation, the most exact first."""
    routes = []
    for name in service_model(service).operation_names:
        http = service_model(service).operation_model(name).http
        path, _, _ = str(http["requestUri"]).partition("?")
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
        routes.append((str(http["method"]), re.compile(pattern), name))
    return sorted(routes, key=lambda route: route[1].pattern.count("(?P"))


def read_json(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    """Return the operation and its parameters. Raises RefusedError for what is none."""
    parts = urlsplit(request.target)
    for method, pattern, name in _routes(service):
        found = pattern.fullmatch(parts.path)
        if found and method == request.method:
            operation = service_model(service).operation_model(name)
            parameters: dict[str, Any] = {
                key: unquote(value) for key, value in found.groupdict().items()
            }
            parameters |= _from_query(operation, parts.query)
            parameters |= _from_body(operation, request.body)
            return name, parameters
    raise RefusedError("UnknownOperationException", "", 404)


def _from_query(operation: OperationModel, query: str) -> dict[str, Any]:
    given = parse_qs(query)
    shape = operation.input_shape
    return {
        name: given[member.serialization["name"]][0]
        for name, member in (shape.members.items() if shape else ())
        if member.serialization.get("location") == "querystring"
        and member.serialization["name"] in given
    }


def _from_body(operation: OperationModel, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        given = json.loads(body)
    except ValueError:
        raise RefusedError(
            "SerializationException", "Unable to parse the body"
        ) from None
    parameters: dict[str, Any] = _opened(operation.input_shape, given)
    return parameters


def _opened(shape: Shape | None, value: Any) -> Any:
    """Return the value with the blobs in it as bytes."""
    match shape.type_name if shape else "":
        case "structure":
            members = shape.members  # type: ignore[union-attr]
            return {k: _opened(members.get(k), v) for k, v in value.items()}
        case "list":
            return [_opened(shape.member, item) for item in value]  # type: ignore[union-attr]
        case "blob":
            return base64.b64decode(value)
    return value


def write_json(service: str, name: str, answer: Mapping[str, Any]) -> Reply:
    """Return the answer to an operation."""
    _check_shape(service, name, answer)
    body = json.dumps(answer, default=lambda moment: moment.timestamp())
    return Reply(
        200,
        body.encode(),
        {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())},
    )


def refuse_json(refusal: RefusedError) -> Reply:
    return Reply(
        refusal.status,
        json.dumps({"message": refusal.message}).encode(),
        {
            "Content-Type": "application/json",
            "x-amzn-ErrorType": refusal.code,
            "x-amzn-RequestId": str(uuid.uuid4()),
        },
    )


# query


def read_query(request: Request) -> tuple[str, dict[str, str]]:
    """Return the operation and its flat parameters."""
    given = {
        name: values[0] for name, values in parse_qs(request.body.decode()).items()
    }
    return given.pop("Action", ""), given


def write_query(service: str, name: str, answer: Mapping[str, Any]) -> Reply:
    _check_shape(service, name, answer)
    inside = "".join(f"<{k}>{escape(str(v))}</{k}>" for k, v in answer.items())
    xml = (
        f"<{name}Response><{name}Result>{inside}</{name}Result><ResponseMetadata>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{name}Response>"
    )
    return Reply(200, xml.encode(), {"Content-Type": "text/xml"})


def refuse_query(refusal: RefusedError) -> Reply:
    xml = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{escape(refusal.code)}</Code>"
        f"<Message>{escape(refusal.message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Reply(refusal.status, xml.encode(), {"Content-Type": "text/xml"})


def _check_shape(service: str, name: str, answer: Mapping[str, Any]) -> None:
    """Raise TypeError when the answer is not one that the SDK's model knows."""
    shape = service_model(service).operation_model(name).output_shape
    if shape is None:
        raise TypeError(f"{name} answers nothing")
    unknown = set(answer) - set(shape.members)
    report = ParamValidator().validate(answer, shape)
    if unknown or report.has_errors():
        raise TypeError(f"{name}: {sorted(unknown)} {report.generate_report()}")
