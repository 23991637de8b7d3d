"""Where the registry itself may be sent: public addresses, named by a good URL."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from api.outbound import DeliveryError, check_public
from api.settings import Settings
from tests.api.conftest import Service


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, private_webhooks=True)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1", "::", "::1", "fe80::1"),
        *("fc00::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::a00:1"),
        *("2001:0:a00:1::", "fec0::1", "feff::1", "::a00:1", "::909:909", "5f00::1"),
    ],
)
def test_which_addresses_are_not_public(address: str) -> None:
    with pytest.raises(DeliveryError, match="not a public address"):
        check_public("a host", ip_address(address))


def test_public_ones_are() -> None:
    for address in ("9.9.9.9", "2620:fe::9", "::ffff:9.9.9.9", "64:ff9b::909:909"):
        check_public("a host", ip_address(address))


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("ftp://hooks.example.net/", "must start with https:// or http://"),
        ("https://", "names no host and port to connect to"),
        ("https://hooks.example.net:0/", "names no host and port to connect to"),
        ("https://hooks.example.net:x/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://u:p@hooks.example.net/", "carries no user, password or fragment"),
        ("https://hooks.example.net/#x", "carries no user, password or fragment"),
        ("https://hooks.example.net/a b", "a URL is ASCII without spaces"),
        ("https://hööks.example.net/", "a URL is ASCII without spaces"),
    ],
)
def test_a_wrong_address(service: Service, url: str, rule: str) -> None:
    refused = service.admin.post("/v1/webhooks", json={"name": "p", "url": url})
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert problem["field"] == "url"
    assert problem["rule"].startswith(rule)
