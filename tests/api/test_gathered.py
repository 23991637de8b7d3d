"""What many bring at once is done together."""

import asyncio
from collections.abc import Sequence

import pytest

from api.errors import ApiError, NotFoundError
from api.gathered import Gathered


class Work:
    """Notes each lot; refuses negative ones, breaks on a zero."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []

    async def __call__(self, lot: Sequence[int]) -> Sequence[ApiError | None]:
        self.lots.append([*lot])
        await asyncio.sleep(0)
        if 0 in lot:
            raise NotFoundError("broken")
        return [NotFoundError(f"no {one}") if one < 0 else None for one in lot]


def test_whoever_comes_meanwhile_is_in_the_next_lot() -> None:
    async def come() -> list[list[int]]:
        work = Work()
        gathered = Gathered(work, 0.0, 3)
        first = asyncio.create_task(gathered.do(1))
        while not work.lots:
            await asyncio.sleep(0)
        await asyncio.gather(first, *(gathered.do(number) for number in range(2, 7)))
        await gathered.do(7)
        return work.lots

    assert asyncio.run(come()) == [[1], [2, 3, 4], [5, 6], [7]]


def test_each_has_its_own_error() -> None:
    async def come() -> list[object]:
        gathered = Gathered(Work(), 0.0, 10)
        jobs = (gathered.do(number) for number in (1, -2, 3))
        return [*await asyncio.gather(*jobs, return_exceptions=True)]

    first, second, third = asyncio.run(come())
    assert (first, str(second), third) == (None, "no -2", None)


def test_where_the_work_breaks_all_of_its_lot_fail_and_the_next_goes_on() -> None:
    async def come() -> list[object]:
        gathered = Gathered(Work(), 0.0, 2)
        jobs = (gathered.do(number) for number in (1, 0, 2))
        return [*await asyncio.gather(*jobs, return_exceptions=True)]

    assert [str(each) for each in asyncio.run(come())] == ["broken", "broken", "None"]


def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    async def come() -> list[list[int]]:
        work = Work()
        gathered = Gathered(work, 0.0, 10)
        gone, stays = (asyncio.create_task(gathered.do(number)) for number in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        return work.lots

    assert asyncio.run(come()) == [[1, 2]]
