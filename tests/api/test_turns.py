"""Writers that wait leave threads and connections to readers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest

from api.errors import UnavailableError
from api.settings import Settings
from api.store import heads, postgresql, turns
from api.store.engine import Store
from api.store.turns import Turns
from lab.watch import wait_until
from tests.api.bodies import gateway, peer
from tests.api.conftest import Service

WRITERS = 40


def test_readers_go_on_while_another_process_writes_for_long(
    start: Callable[[Settings], Service], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody gives up on its own while this test runs.
    monkeypatch.setattr("api.store.sqlite._BUSY_SECONDS", 60.0)
    monkeypatch.setattr(postgresql, "_SESSION", postgresql._SESSION.replace("'5s'", "'60s'"))
    monkeypatch.setattr(postgresql, "_FREE_SECONDS", 60)
    monkeypatch.setattr(turns, "_BUSY_SECONDS", 60.0)
    monkeypatch.setattr(turns, "_LONG", 60.0)
    service = start(settings)
    service.add_gateway()
    sent = [peer(name=f"p-{n}") for n in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        another = Store(settings.database_url)
        with another.write() as connection:
            heads.head(connection, lock=True)
            asked = [pool.submit(service.admin.post, "/v1/peers", json=each) for each in sent]
            # Those for whom there is no place are told at once.
            assert wait_until(lambda: sum(each.done() for each in asked) >= WRITERS - 24, 20)
            assert service.admin.get("/v1/peers").json()["items"] == []
            assert service.nobody.get("/readyz").status_code == 200
            turned_away = [each.result() for each in asked if each.done()]
        another.close()
        codes = [each.result(60).status_code for each in asked]
    assert {each.status_code for each in turned_away} == {503}
    for each in turned_away:
        assert each.json()["type"] == "/problems/busy"
        assert each.headers["Retry-After"] == "5"
    # Background work takes turns as well.
    assert 16 <= codes.count(503) == len(turned_away) <= 20
    assert len(service.admin.get("/v1/peers").json()["items"]) == codes.count(201)


def test_who_comes_during_a_long_write_is_told_soon(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the write is this process's own."""
    registry = service.app.state.registry
    # Not for longer: what the application does by itself writes, too.
    with registry.store.write() as connection, monkeypatch.context() as patched:
        patched.setattr(turns, "_BUSY_SECONDS", 600.0)
        patched.setattr(turns, "_LONG", 0.0)
        patched.setattr(turns, "_SOON", 0.01)
        heads.head(connection, lock=True)
        if not registry.store.tells:  # on PostgreSQL the others wait in the database
            refused = service.admin.post("/v1/gateways", json=gateway())
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert service.admin.post("/v1/gateways", json=gateway()).status_code == 201


def test_a_turn_and_a_place_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_PLACES", 2)
    monkeypatch.setattr(turns, "_LONG", 600.0)
    queue = Turns(1)
    for _ in range(3):
        with pytest.raises(KeyError), queue.turn():
            raise KeyError
    inside, go = Event(), Event()

    def hold() -> None:
        with queue.turn():
            inside.set()
            go.wait(20)

    done: list[int] = []

    def wait() -> None:
        with queue.turn():
            done.append(1)

    threads = [Thread(target=hold), Thread(target=wait)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    assert wait_until(lambda: queue._places._value == 0, 20)
    with pytest.raises(UnavailableError, match="2 changes wait"), queue.turn():
        pass
    assert not done
    go.set()
    for thread in threads:
        thread.join(20)
    assert done == [1]
