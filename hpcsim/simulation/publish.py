"""Publication: readers inside the process (plots, callbacks, servers) get the state without holding up the steps.

The run copies the state into a spare image between two steps and then makes it the newest by changing one index;
readers lease the newest image and look at it as long as they like. With three images one is the newest, one may still
be held by a slow reader, and one is free for the next publication. If readers hold all of them, a publication is left
out, on all ranks alike: version n is the same step everywhere, and the run never waits.
"""

from __future__ import annotations

import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from hpcsim.errors import ConfigError, HpcsimError, LeaseError, Problem, unknown_name
from hpcsim.fields.image import Image
from hpcsim.fields.pool import together
from hpcsim.lattice.layout import Block
from hpcsim.simulation.build import Simulation

LEAST_BUFFERS = 2
_PATIENCE_S = 10.0


class View:
    """The state at one step, as it was published; valid inside the ``with`` block of its lease.

    Attributes
    ----------
    step : int
        Steps done.
    time : float
        Simulated time.
    version : int
        Number of the publication; the same step on all ranks.
    names : tuple of str
        Fields and registers it holds.
    blocks : tuple of Block
        Blocks of this rank.
    """

    def __init__(self, image: Image, version: int, blocks: tuple[Block, ...], components: dict[str, int]) -> None:
        self.step, self.time, self.version = image.step, image.time, version
        self.names, self.blocks = image.names, blocks
        self._image: Image | None = image
        self._components = components

    def values(self, name: str) -> list[list[NDArray[Any]]]:
        """Owned values, read-only: per local block one array per component.

        Raises
        ------
        ConfigError
            If the name was not published.
        LeaseError
            If the lease has ended.
        """
        if name not in self._components:
            raise ConfigError(unknown_name("published field", name, self.names))
        return [[self.field(name, block, c) for c in range(self._components[name])] for block in self.blocks]

    def field(self, name: str, block: Block, component: int = 0) -> NDArray[Any]:
        """Owned values of one component of one local block, read-only; errors as for `values`."""
        if self._image is None:
            raise LeaseError(f"version {self.version} (step {self.step}) was given back; look at it inside the lease")
        return self._image.interior(name, block, component)

    def end(self) -> None:
        """Refuse further looks."""
        self._image = None


class Publisher:
    """Publishes fields of a running simulation.

    Parameters
    ----------
    simulation : Simulation
        What runs. Its memory budget must have room for the images.
    names : sequence of str, optional
        Fields or registers; by default the fields of the model.
    buffers : int
        Images: one more than readers may hold at once, and one more for the newest; at least 2.

    Attributes
    ----------
    published, skipped : int
        Publications done, and those left out because readers held all spare images.
    stall_s : float
        Seconds in which the steps waited for publications.
    errors : list of str
        Tracebacks of callbacks that failed; such a callback is not called again.

    Raises
    ------
    ConfigError
        If there is no register of a name, or there are too few buffers.
    MemoryBudgetError
        On every rank, if one has no room for the images.

    Examples
    --------
    >>> from hpcsim import Lattice, Model, Simulation
    >>> heat = Model({"dt(u)": "laplacian(u)"})
    >>> with Simulation(Lattice([32]), heat, initial={"u": "exp(-(x - 16)**2)"}, backend="numpy") as simulation:
    ...     with Publisher(simulation, ["u"]) as publisher:
    ...         publisher.publish()
    ...         with publisher.lease() as view:
    ...             _ = simulation.run(steps=10)
    ...             view.step, view.version, float(view.values("u")[0][0].max()) > 0.7
    True
    (0, 1, True)
    """

    def __init__(self, simulation: Simulation, names: Sequence[str] | None = None, buffers: int = 3) -> None:
        if buffers < LEAST_BUFFERS:
            raise ConfigError([Problem("buffers", f"at least {LEAST_BUFFERS} are needed, got {buffers}")])
        self.published = self.skipped = 0
        self.stall_s = 0.0
        self.errors: list[str] = []
        self._simulation = simulation
        self._blocks = simulation.setting.storage.blocks
        names = tuple(names if names is not None else simulation.case.specs)
        self._components = {name: simulation.state[name].spec.components for name in names}
        self._images = together(simulation.context, lambda: self._make(names, buffers), _release)
        self._versions = [0] * buffers
        self._readers = [0] * buffers
        self._newest: int | None = None
        self._closed = threading.Event()
        # Guards the three above and tells of news; held for moments only, never during a copy.
        self._news = threading.Condition()
        self._callbacks: list[Callable[[View], None]] = []
        self._caller: threading.Thread | None = None

    def _make(self, names: Sequence[str], buffers: int) -> list[Image]:
        images: list[Image] = []
        try:
            for number in range(buffers):
                threads, owner = self._simulation.case.config.run.threads, f"publication {number} of"
                images.append(Image(self._simulation.state, names, None, threads, owner))
        except BaseException:
            _release(images)
            raise
        return images

    def publish(self) -> bool:
        """Publish the state as it is now; collective, between two steps. Never waits for a reader.

        Returns
        -------
        bool
            Whether it was published; the same on all ranks.
        """
        begin = time.perf_counter()
        spare = self._spare()
        if not self._simulation.context.agree(spare is not None):
            self.skipped += 1
            self.stall_s += time.perf_counter() - begin
            return False
        assert spare is not None
        self._simulation.settle()
        self._images[spare].capture(self._simulation.step, self._simulation.time)
        self.published += 1
        with self._news:
            self._versions[spare] = self.published
            self._newest = spare
            self._news.notify_all()
        self.stall_s += time.perf_counter() - begin
        return True

    def _spare(self) -> int | None:
        """An image that is neither the newest nor held by a reader; readers lease the newest only, so it stays free."""
        with self._news:
            self._check_open()
            numbers = range(len(self._images))
            return next((n for n in numbers if n != self._newest and not self._readers[n]), None)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise HpcsimError("the publisher is closed")

    @contextmanager
    def lease(self) -> Iterator[View]:
        """The newest publication, which stays as it is inside the ``with`` block; from any thread.

        Raises
        ------
        HpcsimError
            If nothing was published yet, or the publisher is closed.
        """
        with self._news:
            number = self._newest
            self._check_open()
            if number is None:
                raise HpcsimError("nothing was published yet")
            self._readers[number] += 1
            view = View(self._images[number], self._versions[number], self._blocks, self._components)
        try:
            yield view
        finally:
            view.end()
            with self._news:
                self._readers[number] -= 1
                # The last reader of a closed publisher switches off the light.
                if self._closed.is_set() and not self._readers[number]:
                    self._images[number].release()
                self._news.notify_all()

    def wait(self, version: int, timeout: float | None = None) -> bool:
        """Wait in a reader until a version later than this one is there; False after the time or when closed."""
        with self._news:
            self._news.wait_for(lambda: self._closed.is_set() or self.published_version > version, timeout)
            return not self._closed.is_set() and self.published_version > version

    @property
    def published_version(self) -> int:
        """Version of the newest publication, 0 before the first."""
        return 0 if self._newest is None else self._versions[self._newest]

    def on_publish(self, callback: Callable[[View], None]) -> None:
        """Call a function with the newest publication, again and again as newer ones come.

        It runs in a thread of its own and holds up nothing; versions that come while it works are passed over. It must
        not call MPI. If it fails, its traceback is kept in `errors`, a warning is given, and it is not called again.
        """
        with self._news:
            self._callbacks.append(callback)
            if self._caller is None:
                self._caller = threading.Thread(target=self._call, name="publication", daemon=True)
                self._caller.start()

    def _call(self) -> None:
        seen = 0
        while self.wait(seen):
            try:
                with self.lease() as view:
                    seen = view.version
                    for callback in list(self._callbacks):
                        self._call_one(callback, view)
            except HpcsimError:
                # Closed between the two.
                return

    def _call_one(self, callback: Callable[[View], None], view: View) -> None:
        try:
            callback(view)
        except Exception as error:
            self._callbacks.remove(callback)
            self.errors.append(traceback.format_exc())
            warnings.warn(f"a callback failed at step {view.step} and is not called again: {error!r}", stacklevel=2)

    def close(self) -> None:
        """End the publication and give the images back; one that a reader still holds goes when the reader does."""
        with self._news:
            if self._closed.is_set():
                return
            self._closed.set()
            self._news.notify_all()
        if self._caller is not None and self._caller is not threading.current_thread():
            self._caller.join(_PATIENCE_S)
        with self._news:
            _release([image for image, readers in zip(self._images, self._readers, strict=True) if not readers])

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _release(images: Sequence[Image]) -> None:
    for image in images:
        image.release()
