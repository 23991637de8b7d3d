"""peergate status."""

from cli.options import AsJson


def status(as_json: AsJson = False) -> None:
    """tbd"""
