"""Sends what happened to the webhooks, in one process of several."""

import asyncio
import logging
from functools import partial

from api.errors import ApiError
from api.metrics import Metrics
from api.outbound import DeliveryError, Sender
from api.registry.deliveries import Deliverer
from api.routes.streams import to_its_end
from api.watch import Watch

_log = logging.getLogger("peergate.api")
# Seconds between looks for what is due by now. News come at once.
_LOOK = 2.0


async def deliver(deliverer: Deliverer, sender: Sender, happened: Watch, metrics: Metrics) -> None:
    """Until it is cancelled. A slow receiver holds up only itself; each has its events in order."""
    busy: dict[int, asyncio.Task[None]] = {}
    try:
        while True:
            newest = happened.newest
            try:
                if busy and not await to_its_end(deliverer.hold):
                    # It stood still for so long that another process has taken over.
                    await _end(busy)
                    busy.clear()
                for number in await to_its_end(deliverer.due):
                    if number not in busy:
                        busy[number] = asyncio.create_task(
                            _tell(deliverer, sender, number, metrics)
                        )
            except ApiError as error:
                _log.warning("webhooks: %s", error)
            except Exception:
                # A defect, which must not end deliveries until the next restart.
                _log.exception("webhooks: a defect; trying again in %g s", _LOOK)
            await happened.wait(newest, _LOOK)
            for number in [number for number, task in busy.items() if task.done()]:
                del busy[number]
    finally:
        await _end(busy)
        try:
            await to_its_end(deliverer.give_up)
        except ApiError as error:
            _log.warning("webhooks: %s", error)


async def _end(busy: dict[int, asyncio.Task[None]]) -> None:
    tasks = [*busy.values()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _tell(deliverer: Deliverer, sender: Sender, number: int, metrics: Metrics) -> None:
    """What one webhook is to be told of, one after the other, until it is up to date or fails."""
    try:
        while (delivery := await to_its_end(partial(deliverer.next, number))) is not None:
            try:
                await sender.post(delivery.webhook.url, delivery.headers, delivery.body)
            except DeliveryError as error:
                metrics.deliveries.labels("failed").inc()
                name = delivery.webhook.name
                _log.warning("webhook %s: event %d: %s", name, delivery.number, error)
                await to_its_end(partial(deliverer.failed, delivery, str(error)))
                return
            metrics.deliveries.labels("delivered").inc()
            if not await to_its_end(partial(deliverer.delivered, delivery)):
                return
    except ApiError as error:
        _log.warning("webhooks: %s", error)
    except Exception:
        _log.exception("webhooks: a defect; trying again in %g s", _LOOK)
