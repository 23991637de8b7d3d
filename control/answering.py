"""Answers the registry's questions: what this router's program says of a packet, and why."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime

from control.errors import ControlError, RegistryError
from control.explain import account, build
from control.gate import Gate
from control.model import Allowlist, Explanation
from control.observer import Do
from control.questions import Asked
from control.registry import NotFound, RegistryClient
from policy.window import from_ns, to_ns

log = logging.getLogger(__name__)

# Seconds from one fetch of questions to the next. The registry hands out eight at once.
PAUSE = 0.5


class Answering:
    """Costs nothing while nobody asks."""

    def __init__(self, client: RegistryClient, router: str, gate: Gate, do: Do) -> None:
        self._client = client
        self._router = router
        self._gate = gate
        self._do = do
        self._trouble: str | None = None

    async def run(self) -> None:
        """Never returns."""
        while True:
            await self._client.questioned.wait()
            self._client.questioned.clear()
            trouble = None
            try:
                while asked := await self._client.questions(self._router):
                    for each in asked:
                        await self._answer(each)
                    await asyncio.sleep(PAUSE)
            except RegistryError as error:
                trouble = error.message
                if trouble != self._trouble:
                    log.warning("questions could not be answered: %s", trouble)
            self._trouble = trouble
            await asyncio.sleep(PAUSE)

    async def _answer(self, asked: Asked) -> None:
        try:
            body: dict[str, object] = {"account": await self._account(asked)}
        except ControlError as error:
            body = {"error": error.message}
        with suppress(NotFound):  # whoever asked has gone
            await self._client.answer(self._router, asked.number, body)

    async def _account(self, asked: Asked) -> dict[str, object]:
        """Raises ControlError."""
        gate, frame = self._gate, build(asked.question)

        def judge() -> tuple[Explanation, dict[int, str], Allowlist | None, datetime]:
            now = to_ns(asked.now) if asked.now is not None else gate.now()
            said = gate.plane.explain(frame, now)
            names = {number: row.name for number, row in gate.plane.guarded()[0].items()}
            return said, names, gate.applied, from_ns(now)

        said, names, allowlist, now = await self._do(judge)
        told = await asyncio.to_thread(account, asked.question, said, names, allowlist, now)
        return told.to_json()
