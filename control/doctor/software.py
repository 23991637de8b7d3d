"""What the agent is made of: bcc, the headers that it compiles with, the program itself."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from control import check, headers
from control.doctor.finding import Finding, of_check
from control.doctor.router import Router
from control.errors import ControlError


def software(router: Router) -> Iterator[Finding]:
    found = [bcc(), uapi_headers()]
    yield from found
    if any(finding.level == "error" for finding in found):
        return
    if router.privileged:
        yield from (of_check(each, "program", router.privileged) for each in check.program())
    else:
        yield Finding("note", "program", "not tried: it needs privilege", "run as root")


def bcc() -> Finding:
    """The Python of a virtual environment sees Debian's only if it was made that way."""
    if find_spec("bcc") is None or find_spec("bcc.libbcc") is None:
        return Finding(
            "error",
            "bcc",
            f"{sys.executable} does not find it",
            "apt install python3-bpfcc (PyPI's bcc is another thing); a virtual environment "
            "must be one of /usr/bin/python3 made with --system-site-packages",
        )
    try:
        return Finding("ok", "bcc", version("bcc"))
    except PackageNotFoundError:
        return Finding("ok", "bcc", "found; its version is not known")


def uapi_headers() -> Finding:
    try:
        headers.include_flags()
    except ControlError as error:
        return Finding("error", "headers", error.message, "apt install linux-libc-dev")
    return Finding("ok", "headers", f"those of linux-libc-dev are in {headers.SYSTEM}")
