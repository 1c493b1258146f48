"""Several processes at the same work on one database."""

import multiprocessing
import time
from collections.abc import Callable

from bench.measure import Sample

PATIENCE = 60.0


def _run(body: Callable[..., int], arguments: tuple[object, ...], ready: object, go: object, counts: object) -> None:
    def begin() -> None:
        ready.release()  # type: ignore[attr-defined]
        go.wait(PATIENCE)  # type: ignore[attr-defined]

    try:
        counts.put(body(*arguments, begin))  # type: ignore[attr-defined]
    except BaseException as error:
        ready.release()  # type: ignore[attr-defined]
        counts.put(f"{type(error).__name__}: {error}")  # type: ignore[attr-defined]
        raise


def together(many: int, body: Callable[..., int], *arguments: object) -> Sample:
    """The rate of all together. `body(*arguments, begin)` calls `begin` when it is ready to work, and says at the end
    how much it did; it must be importable, with arguments that can be pickled."""
    context = multiprocessing.get_context("spawn")
    ready, go, counts = context.Semaphore(0), context.Event(), context.Queue()
    running = [context.Process(target=_run, args=(body, arguments, ready, go, counts)) for _ in range(many)]
    for process in running:
        process.start()
    for _ in running:
        if not ready.acquire(timeout=PATIENCE):
            raise TimeoutError("a process did not get ready")
    start = time.perf_counter()
    go.set()
    done = [counts.get(timeout=PATIENCE) for _ in running]
    took = time.perf_counter() - start
    for process in running:
        process.join(PATIENCE)
    failed = [said for said in done if not isinstance(said, int)]
    if failed:
        raise RuntimeError(failed[0])
    return Sample(sum(done) / took)
