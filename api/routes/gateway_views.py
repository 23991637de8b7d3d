"""Gateways as they are shown, with their cut-overs."""

from collections.abc import Sequence

from api.records import Gateway
from api.registry import cutovers
from api.registry.core import Read, Write
from api.routes.models import GatewayView


def views(state: Read | Write, found: Sequence[Gateway]) -> list[GatewayView]:
    known = cutovers.among(state, found)
    return [GatewayView.of(gateway, known.get(gateway.id), state.now) for gateway in found]


def shown(state: Read | Write, gateway: Gateway) -> GatewayView:
    return views(state, (gateway,))[0]
