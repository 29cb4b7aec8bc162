"""Reads requests and writes answers as the SDK's own service models describe them.

Three protocols are spoken: rest-json (SES), json (SQS) and query (STS, SNS, IAM).
"""

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StructureShape,
)
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

from email_settings.standin.refused import RefusedError

# What the query protocol called them; the SDK still shows these.
OLD_CODES_OF_SQS = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "TooManyEntriesInBatchRequest": (
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
    ),
}


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


def read_rest_json(service: str, request: Request) -> tuple[str, dict[str, Any]]:
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
        name: _typed(member, given[member.serialization["name"]])
        for name, member in (shape.members.items() if shape else ())
        if member.serialization.get("location") == "querystring"
        and member.serialization["name"] in given
    }


def _typed(shape: Shape, values: list[str]) -> Any:
    match shape.type_name:
        case "list":
            return values
        case "timestamp":
            return parse_timestamp(values[0])
    return values[0]


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
    match shape:
        case StructureShape():
            return {k: _opened(shape.members.get(k), v) for k, v in value.items()}
        case ListShape():
            return [_opened(shape.member, item) for item in value]
    return base64.b64decode(value) if shape and shape.type_name == "blob" else value


# json


def read_json(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    """Return the operation and its parameters. Raises RefusedError for what is none."""
    _, _, name = request.headers.get("x-amz-target", "").partition(".")
    if name not in service_model(service).operation_names:
        raise RefusedError("InvalidAction", f"Could not find operation {name}", 404)
    return name, _from_body(service_model(service).operation_model(name), request.body)


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


def refuse_query_compatible(refusal: RefusedError) -> Reply:
    """Return a refusal of SQS, whose codes of the query protocol live on in a header."""
    body = {
        "__type": f"com.amazonaws.sqs#{refusal.code}",
        "message": refusal.message,
    }
    old_code = OLD_CODES_OF_SQS.get(refusal.code, refusal.code)
    return Reply(
        refusal.status,
        json.dumps(body).encode(),
        {
            "Content-Type": "application/x-amz-json-1.0",
            "x-amzn-query-error": f"{old_code};Sender",
            "x-amzn-RequestId": str(uuid.uuid4()),
        },
    )


# query


def read_query(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    """Return the operation and its parameters. Raises RefusedError for what is none."""
    given = {
        name: values[0]
        for name, values in parse_qs(
            request.body.decode(), keep_blank_values=True
        ).items()
    }
    name = given.pop("Action", "")
    if name not in service_model(service).operation_names:
        raise RefusedError("InvalidAction", f"Could not find operation {name}", 404)
    shape = service_model(service).operation_model(name).input_shape
    parameters: dict[str, Any] = _unflattened(shape, given, "") if shape else {}
    return name, parameters


def _unflattened(shape: Shape, given: Mapping[str, str], prefix: str) -> Any:
    """Return the value at a prefix like "Attributes.entry.1.value"; None for none."""
    match shape:
        case StructureShape():
            dot = f"{prefix}." if prefix else ""
            found = {
                name: _unflattened(member, given, f"{dot}{name}")
                for name, member in shape.members.items()
            }
            return {k: v for k, v in found.items() if v is not None} or (
                None if prefix else {}
            )
        case ListShape():
            return _numbered(
                lambda n: _unflattened(shape.member, given, f"{prefix}.member.{n}")
            )
        case MapShape():
            pairs = _numbered(
                lambda n: (
                    given.get(f"{prefix}.entry.{n}.key"),
                    given.get(f"{prefix}.entry.{n}.value"),
                )
            )
            return dict(pairs) if pairs else None
    return given.get(prefix)


def _numbered(item: Callable[[int], Any]) -> list[Any] | None:
    """Return the items from number 1 until there is none."""
    found: list[Any] = []
    while (one := item(len(found) + 1)) not in (None, (None, None)):
        found.append(one)
    return found or None


def write_query(service: str, name: str, answer: Mapping[str, Any]) -> Reply:
    """Return the answer to an operation."""
    _check_shape(service, name, answer)
    result = f"<{name}Result>{_xml(answer)}</{name}Result>" if answer else ""
    xml = (
        f"<{name}Response>{result}<ResponseMetadata>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{name}Response>"
    )
    return Reply(200, xml.encode(), {"Content-Type": "text/xml"})


def _xml(value: Any, *, is_map: bool = False) -> str:
    match value:
        case dict() if is_map:
            return "".join(
                f"<entry><key>{escape(k)}</key><value>{escape(v)}</value></entry>"
                for k, v in value.items()
            )
        case dict():
            return "".join(
                f"<{k}>{_xml(v, is_map=k == 'Attributes')}</{k}>"
                for k, v in value.items()
            )
        case list():
            return "".join(f"<member>{_xml(one)}</member>" for one in value)
        case bool():
            return str(value).lower()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return escape(str(value))


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
        if answer:
            raise TypeError(f"{name} answers nothing")
        return
    # It also finds names that the model has no place for.
    report = ParamValidator().validate(answer, shape)
    if report.has_errors():
        raise TypeError(f"{name}: {report.generate_report()}")
