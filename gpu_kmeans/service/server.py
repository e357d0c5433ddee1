"""Starting and stopping: everything is checked before the port is bound, and SIGTERM ends in 0."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from gpu_kmeans.errors import BackendUnavailable, FileProblem, GpuKMeansError, InvalidParam
from gpu_kmeans.service.app import create_app
from gpu_kmeans.service.clients import Clients
from gpu_kmeans.service.dependencies import Service
from gpu_kmeans.service.http import protocol
from gpu_kmeans.service.jobs import Jobs
from gpu_kmeans.service.metrics import Metrics
from gpu_kmeans.service.middleware import JsonLines
from gpu_kmeans.service.models import Models
from gpu_kmeans.service.problems import of_exception
from gpu_kmeans.service.questions import Questions
from gpu_kmeans.service.retention import Retention
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.store import Store
from gpu_kmeans.service.work import run_worker

__all__ = ["open_service", "serve"]

log = logging.getLogger("gpu_kmeans.service")

BACKLOG = 512
OTHER_FILES = 500
"""Number of open files beside the connections: the registry, uploads, downloads, processes."""


def serve(settings: Settings, ready: Callable[[str], None], sample: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : Settings
    ready : callable
        Told the address once requests are taken.
    sample : bool
        Where there is no model yet, let the bundled sample be fitted first.

    Raises
    ------
    InvalidParam
        An address other than loopback, and no keys.
    FileProblem
        The folder or the address cannot be had.
    BackendUnavailable
        ``backend="gpu"`` without a GPU.
    """
    _log_json()
    service = open_service(settings)
    try:
        with contextlib.closing(_bound(settings)) as listener:
            config = uvicorn.Config(
                create_app(service),
                http=protocol(settings, service.clients),
                proxy_headers=False,  # by default uvicorn trusts whoever is on this machine
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=int(settings.shutdown_seconds) or 1,
            )
            server = _Server(config, service, lambda: ready(_address(listener)), sample)
            try:
                server.run(sockets=[listener])
            except SystemExit:  # uvicorn's, where the application did not start
                raise _reason(service.failure, settings.data) from service.failure
    finally:
        service.store.close()


def _reason(failure: Exception | None, folder: Path) -> GpuKMeansError:
    """Why the service did not start, as one message for people."""
    problem = None if failure is None else of_exception(failure)
    if isinstance(failure, GpuKMeansError):
        return failure
    if problem is None:
        return GpuKMeansError(f"the service did not start: unexpected {type(failure).__name__}")
    return FileProblem(f"the service did not start on {folder}: {problem.detail}")


def open_service(settings: Settings) -> Service:
    """Check the settings against this machine, and take hold of the folder."""
    backend, reason = _backend(settings.backend, settings.data)
    store = Store(settings.data)
    try:
        _check_keys(settings, store)
        store.registry.interrupt_running()
    except sqlite3.OperationalError as error:
        store.close()
        raise _reason(error, settings.data) from error
    except BaseException:
        store.close()
        raise
    metrics = Metrics()
    models = Models(store, settings, metrics.version)
    retention = Retention(store, models, settings.keep_versions)
    jobs = Jobs(store, settings, metrics.job, retention.prune, metrics.job_times)
    metrics.backend(backend)
    metrics.watch("jobs_waiting", "Jobs in the queue.", lambda: jobs.waiting)
    metrics.watch("jobs_running", "Jobs that run.", lambda: jobs.running)
    metrics.watch("models_loaded", "Versions in memory.", lambda: len(models))
    metrics.watch("models_loaded_bytes", "Memory of these versions.", lambda: models.memory)
    metrics.watch("stored_bytes", "Datasets and versions on the disk.", store.registry.stored_bytes)
    metrics.watch(
        "disk_free_bytes", "Room on their disk.", lambda: shutil.disk_usage(store.folder).free
    )
    _allow_connections(settings.max_connections)
    clients, questions = Clients(settings), Questions(store, settings)
    return Service(
        settings, store, models, jobs, metrics, clients, questions, retention, backend, reason
    )


def _allow_connections(most: int) -> None:
    """Let this process have as many files as connections need, as far as the system allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + OTHER_FILES if hard == resource.RLIM_INFINITY else min(hard, most + OTHER_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _backend(asked: str, folder: Path) -> tuple[str, str]:
    """What fits will run on, and why; a process of its own finds out, as CUDA stays out of this."""
    if asked == "cpu":
        return "cpu", "asked for"
    choice = asyncio.run(run_worker({"task": "choose", "folder": str(folder), "backend": asked}))
    if choice["obstacle"] is not None:
        raise BackendUnavailable(choice["obstacle"])
    return choice["name"], choice["reason"]


def _check_keys(settings: Settings, store: Store) -> None:
    if settings.is_loopback or settings.key is not None:
        return
    if not store.registry.rows("SELECT id FROM keys"):
        raise InvalidParam(
            f"the address {settings.host} can be reached from outside, and there are no keys: make "
            f"one with `gpu-kmeans key add NAME --scope write --data {settings.data}`, or stay "
            "on 127.0.0.1"
        )


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise FileProblem(
            f"cannot listen on {settings.host} port {settings.port}: "
            f"{error.strerror or error}; choose another --host or --port"
        ) from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, stopping in two steps: first it says that it will, then it does."""

    def __init__(
        self, config: uvicorn.Config, service: Service, ready: Callable[[], None], sample: bool
    ) -> None:
        super().__init__(config)
        self.service = service
        self.ready = ready
        self.sample = sample
        self._fitting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_soon)
        if self.sample:
            self._fitting = asyncio.create_task(_fit_sample(self.service))
            try:
                await self._fitting
            except asyncio.CancelledError:
                return
        self.ready()
        log.info("ready", extra={"address": _address(sockets[0]) if sockets else ""})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :meth:`startup`: uvicorn would end the process by them."""
        yield

    def _stop_soon(self) -> None:
        if self.service.stopping:
            self.should_exit = self.force_exit = True  # asked twice
            return
        self.service.stopping = True
        log.info("stopping")
        if self._fitting is not None:
            self._fitting.cancel()
        loop = asyncio.get_running_loop()
        loop.call_later(self.service.settings.drain_seconds, self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.service.jobs.stop()  # which ends the streams of events, too
        await super().shutdown(sockets)


async def _fit_sample(service: Service) -> None:
    """Put the bundled films in, and let them be fitted, so that there is something to see."""
    from gpu_kmeans.data.sample import paths
    from gpu_kmeans.service.routes.datasets import adopt

    if service.registry.models() or service.registry.datasets():
        return
    await adopt(service, "films", *paths())
    from gpu_kmeans.service.schemas import Parameters

    parameters = Parameters.model_validate({}).model_dump() | {"backend": service.settings.backend}
    about = {"dataset": "films", "model": "films", "parameters": parameters, "activate": True}
    job = await service.jobs.add(about, None)
    async for event in service.jobs.events(job["id"]):
        if event is not None and event.kind == "end":
            break


def _log_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("gpu_kmeans.service", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name.startswith("gpu") else logging.WARNING)
