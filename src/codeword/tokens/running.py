"""Who makes the shards: processes of this machine, or Ray's."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from codeword.errors import CodewordError, UsageError
from codeword.tokens.making import Job, Made, Part, make_shard


def run_locally(job: Job, parts: Sequence[Part], workers: int) -> Iterator[Made]:
    """As they are finished, by so many processes; by one, here and in order. Raises CodewordError."""
    if min(workers, len(parts)) <= 1:
        yield from map(partial(make_shard, job), parts)
        return
    # Not forked: torch's threads would not survive it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(parts)), mp_context=context, initializer=_follow_parent)
    try:
        for future in as_completed([pool.submit(make_shard, job, part) for part in parts]):
            yield future.result()
    except BrokenProcessPool as error:
        raise CodewordError(
            "A worker process was killed, perhaps for want of memory; run the command again, with fewer --workers: "
            "what is finished stays."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def run_on_ray(job: Job, parts: Sequence[Part], workers: int) -> Iterator[Made]:
    """As they are finished, by Ray Data: on the cluster of RAY_ADDRESS, or else on `workers` cores of this machine.

    All machines of a cluster must see the model, the data and the folder for the shards at the same paths.

    Raises:
        UsageError: the package `ray` is missing.
        CodewordError: as `make_shard`.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError("--engine ray needs the package ray; pip install 'codeword[ray]'.") from error
    for name in ("ray", "ray.data"):  # What goes wrong is raised.
        logging.getLogger(name).setLevel(logging.ERROR)
    if not ray.is_initialized():
        # A cluster has as many cores as it has.
        cores = None if os.environ.get("RAY_ADDRESS") else workers
        ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if not parts:
        return
    # A block for each part: a block is what Ray hands out.
    dataset = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
    try:
        for row in dataset.map(partial(_make, job), num_cpus=1).iter_rows():
            if isinstance(row["made"], CodewordError):
                raise row["made"]
            yield row["made"]
    except ray.exceptions.RayError as error:
        raise CodewordError(f"Ray could not go on ({' '.join(str(error).split()):.300}).") from error


ENGINES: dict[str, Callable[[Job, Sequence[Part], int], Iterator[Made]]] = {"local": run_locally, "ray": run_on_ray}


def _make(job: Job, row: dict[str, Any]) -> dict[str, Any]:
    """A shard, or the error of ours: Ray would wrap it."""
    try:
        return {"made": make_shard(job, row["part"])}
    except CodewordError as error:
        return {"made": error}


def _follow_parent() -> None:
    """End this process when the one that started it ends, even killed: it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
