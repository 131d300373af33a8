"""Hands the parts of a run to the workers, and takes in what comes back, each part once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from openretina_widgets.insilico.cluster import on_worker
from openretina_widgets.insilico.cluster.client import (
    Parcel,
    check_client,
    check_workers,
    checked_workers,
    parcel_of_model,
    parcel_of_settings,
)
from openretina_widgets.models.retina_model import RetinaModel

_WAIT = 0.1  # seconds: as often as that whoever drives a run can end it
_AHEAD = 2  # parts for each thread of the workers: the next one lies there when one has ended
# Where parts are wanted in order: from the oldest to the newest, in multiples of how many are out.
_APART = 2
_LOOK_EVERY = 0.25  # seconds from one look at the pictures of the workers to the next
_COUNT_EVERY = 1.0  # seconds from one look at which workers there are to the next
_PARTS_PER_THREAD = 4
_FEWEST_THREADS = 4  # as if there were, for a cluster that is still growing
_AGAIN = 5  # times that a part is handed out anew because somebody else has cancelled it


@dataclass(frozen=True)
class News:
    """What has happened since the last news.

    Attributes
    ----------
    results
        Number, share and value of each part that has ended.
    pictures
        The newest picture of each part that is being computed, by its number.
    workers
        How many workers there are.
    """

    results: tuple[tuple[int, Any, Any], ...]
    pictures: dict[int, Any]
    workers: int


class Sharded:
    """A run in parts, checked: what cannot be sent, and workers that cannot compute, are refused.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    task
        A function of this package, called on a worker with the `Part`.
    model
        Sent once to each worker.
    settings
        What all parts have in common, sent once to each worker as well.

    Raises
    ------
    TypeError, ValueError
        If the client, a worker, the model or a setting does not fit; the message says which.
    """

    def __init__(
        self,
        client: Any,
        task: Callable[[on_worker.Part], Any],
        model: RetinaModel,
        settings: Mapping[str, Any],
    ) -> None:
        check_client(client)
        self._client, self._task = client, task
        self._model, self._settings = parcel_of_model(model), parcel_of_settings(settings)
        threads = client.nthreads()
        check_workers(client, threads)
        self._threads = sum(threads.values())

    def share(self, total: int, most: int | None = None) -> int:
        """Return how much goes into a part, so that all workers stay busy and results come soon."""
        threads = max(self._threads, _FEWEST_THREADS)
        even = -(-total // (_PARTS_PER_THREAD * threads))
        return max(1, even if most is None else min(most, even))

    def news(
        self, shares: Iterator[Any], *, watched: bool = True, in_order: bool = False
    ) -> Generator[News, None, None]:
        """Hand out the shares and yield what comes, at least ten times a second.

        Each part comes once, in the order in which they end. Closing the generator cancels what is
        not done, on the workers too. No more shares are taken than the workers need.

        Parameters
        ----------
        shares
            What goes to the parts.
        watched
            Whether pictures are fetched.
        in_order
            Whether the parts are wanted in the order of the shares. They come as they end even so,
            but the workers wait for one that is late, so that not all others have to be kept.

        Raises
        ------
        RuntimeError
            If the client was closed meanwhile, or a part has killed worker after worker.
        ValueError
            If a worker that has come later cannot compute.
        Exception
            What a part has raised.
        """
        run = _HandedOut(self, shares, watched, in_order)
        try:
            while run.goes_on():
                yield run.wait()
        finally:
            run.cancel()


class _HandedOut:
    """The parts that are out, and those that wait."""

    def __init__(
        self, sharded: Sharded, shares: Iterator[Any], watched: bool, in_order: bool
    ) -> None:
        self._sharded, self._client = sharded, sharded._client
        self._shares = enumerate(shares)
        self._watched, self._in_order = watched, in_order
        self._name = uuid.uuid4().hex
        self._waiting: deque[tuple[int, Any]] = deque()
        self._out: dict[concurrent.futures.Future[Any], _Out] = {}
        self._tries: dict[int, int] = {}
        self._served: dict[str, int] = {}  # workers that have been sent all, and their threads
        self._dropped: set[str] = set()  # those that have not kept it
        self._serving: concurrent.futures.Future[Any] | None = None
        self._served_at = -1e9
        self._look: concurrent.futures.Future[Any] | None = None
        self._looked_at = -1e9
        self._pictures: dict[int, Any] = {}
        self._more = True

    def goes_on(self) -> bool:
        """Whether a part is left."""
        if self._more and not self._waiting:
            following = next(self._shares, None)
            if following is None:
                self._more = False
            else:
                self._waiting.append(following)
        return bool(self._waiting or self._out)

    def wait(self) -> News:
        """Hand out what there is room for, and wait a little for what comes back."""
        self._check_client()
        self._serve()
        if self._served:
            self._hand_out()
        if not self._out:
            time.sleep(_WAIT)  # for the first worker
            return News((), {}, len(self._served))
        done, _ = concurrent.futures.wait(
            self._out, timeout=_WAIT, return_when=concurrent.futures.FIRST_COMPLETED
        )
        results = tuple(taken for one in done if (taken := self._take(one)) is not None)
        self._see()
        out = {one.number for one in self._out.values()}
        self._pictures = {n: one for n, one in self._pictures.items() if n in out}
        return News(results, dict(self._pictures), len(self._served))

    def cancel(self) -> None:
        """Take back what is out; what runs ends after the iteration that is being computed."""
        futures = [one.future for one in self._out.values()]
        self._out.clear()
        if futures and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):  # the scheduler has gone meanwhile
                self._client.cancel(futures)

    def _hand_out(self) -> None:
        room = _AHEAD * sum(self._served.values())
        workers = sorted(self._served)
        while len(self._out) < room and self.goes_on() and self._waiting:
            if self._in_order and self._waiting[0][0] >= self._oldest() + _APART * room:
                return
            number, share = self._waiting.popleft()
            future = self._client.submit(
                on_worker.compute,
                self._sharded._task,
                number,
                share,
                self._name,
                self._sharded._model.name,
                key=f"openretina-widgets-{self._name}-{number}-{uuid.uuid4().hex[:8]}",
                pure=False,
                # One that has come only now is first checked, and sent what it needs.
                workers=workers,
            )
            # Awaited on the client's own loop, so that fetching a result, which may be lost with
            # its worker meanwhile and computed again, holds up nobody.
            self._out[self._on_loop(_result(future))] = _Out(number, share, future, workers)

    def _oldest(self) -> int:
        """Return the number of the first part that is not done, while one is left."""
        waiting = (number for number, _ in self._waiting)
        return min(chain((one.number for one in self._out.values()), waiting))

    def _again(self, out: _Out) -> None:
        """Let a part that is not done go before those that have not been out."""
        self._waiting.appendleft((out.number, out.share))

    def _serve(self) -> None:
        """Keep up with the workers that come and go, without waiting for any."""
        if self._serving is not None and self._serving.done():
            served = self._serving.result()
            self._serving = None
            self._served = {w: n for w, n in served.items() if w not in self._dropped}
            self._dropped.clear()
            self._take_back_stranded()
        now = time.monotonic()
        if self._serving is None and now - self._served_at > _COUNT_EVERY:
            sharded = self._sharded
            self._serving = self._on_loop(
                _serve(
                    self._client, set(self._served), sharded._model, self._name, sharded._settings
                )
            )
            self._served_at = now

    def _take_back_stranded(self) -> None:
        """Take back what only workers were to compute that have gone, for others to do."""
        for waiting, one in list(self._out.items()):
            if self._served.keys().isdisjoint(one.workers):
                del self._out[waiting]
                self._client.cancel([one.future])
                self._again(one)

    def _take(self, done: concurrent.futures.Future[Any]) -> tuple[int, Any, Any] | None:
        out = self._out.pop(done)
        try:
            value = done.result()
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            self._check_client()  # else not by us, as from Dask's own page
            tries = self._tries[out.number] = self._tries.get(out.number, 0) + 1
            if tries > _AGAIN:
                raise RuntimeError(
                    f"client: somebody else has cancelled a part of the run {tries} times"
                ) from None
        except Exception as error:  # noqa: BLE001 - whatever the part has raised
            self._raise(error)
        else:
            if isinstance(value, on_worker.Lacking):
                # Other runs have taken the place of what it had.
                self._served.pop(value.worker, None)
                self._dropped.add(value.worker)
            elif value is not None:  # as of a part that somebody else has cancelled
                return out.number, out.share, value
        self._again(out)
        return None

    def _raise(self, error: BaseException) -> None:
        import distributed

        if isinstance(error, distributed.KilledWorker):
            raise RuntimeError(
                "client: several workers died one after the other while they computed the same "
                "part of the run; perhaps their memory does not suffice for it: give them more, "
                "or less to do at once with chunk or memory_mb"
            ) from error
        raise error

    def _see(self) -> None:
        """Take the pictures that have come, and ask for newer ones."""
        if not self._watched:
            return
        if self._look is not None and self._look.done():
            # A worker that dies meanwhile has no pictures.
            if not self._look.cancelled() and self._look.exception() is None:
                for pictures in self._look.result().values():
                    self._pictures |= pictures
            self._look = None
        now = time.monotonic()
        if self._look is None and now - self._looked_at > _LOOK_EVERY:
            self._look = self._on_loop(_looked(self._client, self._name, sorted(self._served)))
            self._looked_at = now

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._client.loop.asyncio_loop)

    def _check_client(self) -> None:
        if self._client.status in ("closing", "closed"):
            raise RuntimeError("client: it was closed while the run was going on")


@dataclass(frozen=True)
class _Out:
    """A part that is with the workers."""

    number: int
    share: Any
    future: Any
    workers: list[str]


async def _result(future: Any) -> Any:
    return await future


async def _serve(
    client: Any, served: set[str], model: Parcel, run: str, settings: Parcel
) -> dict[str, int]:
    """Check new workers, and send them the model, where they lack it, and the settings.

    Return the workers that have all of it, and their threads. Data that Dask scatters would be lost
    with the workers that happen to hold them.
    """
    threads = await client.nthreads()
    served = served & set(threads)
    if new := sorted(set(threads) - served):
        await checked_workers(client, new)
        # Those that have gone meanwhile do not answer.
        there = await client.run(on_worker.has_model, model.name, workers=new, on_error="ignore")
        if without := [worker for worker, has in there.items() if not has]:
            await client.run(
                on_worker.receive_model, model.name, model.data, workers=without, on_error="ignore"
            )
        served |= set(
            await client.run(
                on_worker.receive_run, run, settings.data, workers=new, on_error="ignore"
            )
        )
    return {worker: threads[worker] for worker in served}


async def _looked(client: Any, run: str, workers: list[str]) -> Any:
    return await client.run(on_worker.look, run, workers=workers, on_error="ignore")
