"""/metrics"""

import asyncio

from fastapi import APIRouter, Depends, Request
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.auth import NEEDS_TOKEN, scraper_of
from api.metrics import Metrics

router = APIRouter(tags=["health"], dependencies=[Depends(scraper_of)])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    openapi_extra=NEEDS_TOKEN,
)
async def show_metrics(request: Request) -> Response:
    """For a Prometheus. While the database does not answer, also who was let in before may read."""
    metrics: Metrics = request.app.state.metrics
    # However many ask, the database is asked by one.
    turn: asyncio.Lock = request.app.state.scrapes
    async with turn:
        text = await run_in_threadpool(metrics.text)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
