"""Engines, which apply a function to many jobs in several processes: those of this machine, or a Ray cluster."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from codeword.errors import CodewordError, Interrupted, UsageError, reason

J = TypeVar("J")
R = TypeVar("R")


def check_engine(engine: str, workers: int) -> None:
    """Raises UsageError if there is no such engine, or `workers` is below 1."""
    if workers < 1:
        raise UsageError(f"The number of workers must be 1 or more, not {workers}.")
    if engine not in ENGINES:
        raise UsageError(f"There is no engine {engine!r}; there are {', '.join(ENGINES)}.")


def run_jobs(
    function: Callable[[J], R], jobs: Sequence[J], *, workers: int, engine: str = "local", own_processes: bool = False
) -> Iterator[R]:
    """Apply a function to all jobs by `workers` processes, and yield the results in the order of their completion.

    Function, jobs and results must be picklable. A CodewordError that the function raises is raised here, and the
    remaining jobs are given up. With one worker, the engine "local" computes in this process. With `own_processes`
    it starts a new process for each job instead.

    Raises:
        UsageError: the package `ray` is missing.
        CodewordError: a process was killed, or Ray failed.
    """
    check_engine(engine, workers)
    return ENGINES[engine](function, jobs, workers, own_processes)


def _run_locally(function: Callable[[J], R], jobs: Sequence[J], workers: int, own_processes: bool) -> Iterator[R]:
    workers = min(workers, len(jobs))
    if workers <= 1 and not (own_processes and jobs):
        yield from map(function, jobs)
        return
    # Processes are spawned, because torch's threads do not work in a forked process.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
        max_tasks_per_child=1 if own_processes else None,
    )
    try:
        for future in as_completed([pool.submit(_compute_or_exit, function, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise CodewordError(
            "A worker process was killed, perhaps because memory ran out; run the command again with fewer workers: "
            "what is finished is kept."
        ) from error
    except (KeyboardInterrupt, SystemExit):
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _run_on_ray(function: Callable[[J], R], jobs: Sequence[J], workers: int, own_processes: bool) -> Iterator[R]:
    """On the cluster of RAY_ADDRESS or, without it, `workers` cores of this machine.

    All machines of a cluster need the files of a job at the same paths.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError("The engine ray needs the package ray; run `pip install 'codeword[ray]'`.") from error
    for name in ("ray", "ray.data"):  # Errors are raised, so their log messages are not needed.
        logging.getLogger(name).setLevel(logging.ERROR)
    if not ray.is_initialized():
        # An existing cluster determines its number of cores.
        cores = None if os.environ.get("RAY_ADDRESS") else workers
        ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if not jobs:
        return
    # One block per job, because Ray assigns work in blocks.
    dataset = ray.data.from_items([{"job": job} for job in jobs], override_num_blocks=len(jobs))
    try:
        for row in dataset.map(partial(_compute_row, function), num_cpus=1).iter_rows():
            if isinstance(row["finished"], CodewordError):
                raise row["finished"]
            yield row["finished"]
    except ray.exceptions.RayError as error:
        raise CodewordError(f"Ray failed ({reason(error)}).") from error


ENGINES: dict[str, Callable[..., Iterator[Any]]] = {"local": _run_locally, "ray": _run_on_ray}


def _compute_row(function: Callable[[Any], Any], row: dict[str, Any]) -> dict[str, Any]:
    """The result of a job, or a CodewordError; it is not raised, because Ray would wrap it in its own error."""
    try:
        return {"finished": function(row["job"])}
    except CodewordError as error:
        return {"finished": error}


def _compute_or_exit(function: Callable[[J], R], job: J) -> R:
    try:
        return function(job)
    except (SystemExit, KeyboardInterrupt, Interrupted):
        # The pool would keep the exception as a result, and go on with the next job.
        os._exit(1)


def _prepare_worker() -> None:
    """End this process when its parent ends or is killed, because it would wait for work forever.

    SIGTERM becomes an exception, so that temporary files are removed. Ctrl-C reaches only the parent, which then sends
    one SIGTERM to each process: a second signal would stop a training before it has saved its state.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
