"""The OpenAPI document: what FastAPI makes, with the errors that really come and examples."""

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from api.routes.examples import EXAMPLES

MEDIA_TYPE = "application/problem+json"
_REF = "#/components/schemas/{model}"
_ALWAYS = {
    "422": "Refused: each wrong value with its field and rule",
    "503": "The database does not answer",
}
_WITH_TOKEN = {
    "401": "No token, or none that works",
    "403": "Another role, or another person, is needed",
    "429": "Too many tokens from there that do not work",
}
_WITH_BODY = {"413": "The body is too large"}
_WITH_VERSION = {"412": "Changed since it was read", "428": "`If-Match` is missing"}


class FieldProblem(BaseModel):
    """One refused value: where it stands, what it is, and the rule that it breaks."""

    field: str = Field(examples=["sources[0]"])
    value: str = Field(examples=["203.0.113.7/24"])
    rule: str = Field(examples=["host bits are set: did you mean 203.0.113.0/24?"])
    line: int | None = Field(None, description="of a body of lines, from 1")


class ProblemDetails(BaseModel):
    """RFC 9457. `type` ends in a word for programs; `errors` holds each refused value."""

    type: str = Field(examples=["/problems/unprocessable-entity"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the request is refused"])
    errors: list[FieldProblem] = []
    total: int | None = Field(None, description="how many there are, where not all are named")


# Every application of a process has the same one, and it takes as long as a hundred requests.
_made: dict[str, Any] = {}


def describe(app: FastAPI) -> None:
    """Puts our errors into the document that the application serves."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if not _made:
            _made.update(_with_errors(generate()))
        return _made

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


async def refuse_unknown_queries(request: Request) -> None:
    """A misspelt filter must not read as none."""
    if not request.query_params:
        return
    operation = _operation(request)
    known = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
    unknown = [
        {
            "type": "unknown_query",
            "loc": ("query", name),
            "msg": "unknown query parameter",
            "input": value,
        }
        for name, value in request.query_params.multi_items()
        if name not in known
    ]
    if unknown:
        raise RequestValidationError(unknown)


def methods_at(app: FastAPI, path: str) -> list[str]:
    """What may be asked of a path, whichever route answers it. One that a route names in full
    is nobody's variable part."""
    paths = app.openapi()["paths"]
    templates = (
        [path]
        if path in paths
        else [each for each in paths if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", each), path)]
    )
    return [method.upper() for template in templates for method in paths[template]]


def _operation(request: Request) -> dict[str, Any]:
    path = request.scope["route"].path_format
    operation: dict[str, Any] = request.app.openapi()["paths"][path][request.method.lower()]
    return operation


def _with_errors(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    problem = ProblemDetails.model_json_schema(ref_template=_REF)
    schemas.update(problem.pop("$defs"))
    schemas["ProblemDetails"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if examples := EXAMPLES.get((method, path)):
                body = operation["requestBody"]["content"]["application/json"]
                body["examples"] = {name: {"value": value} for name, value in examples.items()}
            for status, description in _errors(path, method, operation).items():
                operation["responses"][status] = {
                    "description": description,
                    "content": {
                        MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemDetails")}}
                    },
                }
    return document


def _errors(path: str, method: str, operation: dict[str, Any]) -> dict[str, str]:
    found = dict(_ALWAYS)
    headers = {p["name"].lower() for p in operation.get("parameters", ()) if p["in"] == "header"}
    if operation.get("security"):
        found |= _WITH_TOKEN
    if "requestBody" in operation:
        found |= _WITH_BODY
    if "{" in path or path in ("/v1/tokens", "/v1/session"):
        found["404"] = "There is no such thing"
    if "if-match" in headers:
        found |= _WITH_VERSION
    if method in ("post", "put", "patch", "delete") or path.endswith("/changes"):
        found["409"] = "It does not fit what is registered"
    if path.endswith(("/here", "/sources")):
        found["429"] = "Too often: `Retry-After` says when to come again"
    if path.endswith("/changes"):
        found["410"] = "Changes from so far back are not kept: fetch a snapshot"
    if path.endswith("/explain"):
        found |= {
            "409": "The router is away, or cannot say",
            "429": "Too many questions: `Retry-After` says when to come again",
            "504": "The router does not answer in time",
        }
    if path == "/v1/rollback":
        found["410"] = "That revision is not kept"
    if path == "/v1/events":
        found["409"] = "The registry was restored from a backup, and is not there yet"
        found["410"] = "Events from so far back are not kept"
    return found
