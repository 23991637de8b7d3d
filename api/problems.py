"""Every error as application/problem+json (RFC 9457), and the status of each error class."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    RefusedError,
    StaleError,
    ThrottledError,
    UnansweredError,
    UnauthorizedError,
    UnavailableError,
    VersionMissingError,
)
from api.openapi import MEDIA_TYPE, methods_at
from api.origin import REQUEST_ID, origin_of
from policy.document import problems_in
from policy.errors import Problem

_log = logging.getLogger("peergate.api")

STATUS: dict[type[ApiError], HTTPStatus] = {
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    GoneError: HTTPStatus.GONE,
    StaleError: HTTPStatus.PRECONDITION_FAILED,
    RefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    VersionMissingError: HTTPStatus.PRECONDITION_REQUIRED,
    ThrottledError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnansweredError: HTTPStatus.GATEWAY_TIMEOUT,
}


def problem(
    status: HTTPStatus,
    detail: str,
    kind: str = "",
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
    total: int | None = None,
) -> Response:
    slug = kind or status.phrase.lower().replace(" ", "-")
    content = {
        "type": f"/problems/{slug}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "errors": [_shown(each) for each in problems],
    }
    if total is not None:
        content["total"] = total
    # Escaped: what is refused may hold what UTF-8 cannot.
    body = json.dumps(content, ensure_ascii=True)
    return Response(body, status, headers=headers, media_type=MEDIA_TYPE)


def _shown(problem: Problem) -> dict[str, str | int]:
    shown: dict[str, str | int] = {} if problem.line is None else {"line": problem.line}
    return shown | {"field": problem.field, "value": problem.value, "rule": problem.rule}


def add_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, answer_to)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def answer_to(request: Request, error: Exception) -> Response:
    """What an ApiError comes to."""
    assert isinstance(error, ApiError)
    headers = {}
    if isinstance(error, UnauthorizedError):
        status = HTTPStatus.UNAUTHORIZED
        headers["WWW-Authenticate"] = 'Bearer realm="peergate"'
        if error.kind:
            headers["WWW-Authenticate"] += ', error="invalid_token"'
    else:
        status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(error.seconds)
    detail = str(error)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
        told = (request.method, request.url.path, error, origin_of(request).request)
        _log.warning("%s %s: %s (request %s)", *told)
        if not error.kind:
            # Where the database is, and who the registry is there, is not for strangers.
            detail = "the database does not answer: try again; the registry's log says more"
    return problem(status, detail, error.kind, error.problems, headers, error.total)


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _refused(problems_in([_detail(detail) for detail in error.errors()]))


def _refused(problems: Sequence[Problem]) -> Response:
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "the request is refused, nothing changed", "", problems
    )


def _detail(detail: Any) -> ErrorDetails:  # noqa: ANN401  # the framework has no type for it
    """A framework's error in pydantic's form: the field without the part of the request."""
    loc = detail["loc"]
    if detail["type"] == "json_invalid":
        rule = f"not JSON: {detail['ctx']['error']} at character {loc[-1]}"
        return ErrorDetails(type="json_invalid", loc=("body",), msg=rule, input=None)
    # A rule between fields stands at their parent and names the field itself.
    if loc[0] in ("body", "query", "path", "header") and (len(loc) > 1 or detail["type"] == "rule"):
        loc = loc[1:]
    return ErrorDetails(
        type=detail["type"],
        loc=loc,
        msg=detail["msg"],
        input=detail["input"],
        ctx=detail.get("ctx", {}),
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.BAD_REQUEST:
        # What the framework says of a body that it cannot read at all.
        unread = Problem("body", "", "not JSON in UTF-8 of a reasonable depth")
        return _refused((unread,))
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of one route alone.
        allowed = ", ".join(methods_at(request.app, request.url.path)) or "GET, HEAD"
        rule = f"{request.method} is not for this path; it takes {allowed}"
        return problem(status, rule, headers={"Allow": allowed})
    if status is HTTPStatus.NOT_FOUND:
        return problem(status, f"there is nothing at {request.url.path}")
    return problem(status, str(error.detail), headers=error.headers)


def _unforeseen(request: Request, _error: Exception) -> Response:
    """Answered outside of all middleware, so the id is put in here."""
    number = origin_of(request).request
    # The server logs the traceback next.
    _log.error("%s %s: a defect (request %s)", request.method, request.url.path, number)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "this is a defect of peergate: its log says more",
        headers={REQUEST_ID: number},
    )
