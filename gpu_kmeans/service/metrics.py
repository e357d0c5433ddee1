"""What Prometheus may ask: requests, latencies, jobs, the queue, models, the backend."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Metrics"]

JOB_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "gpu_kmeans_requests", "Answers.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "gpu_kmeans_request_seconds",
            "From the request's headers to the end of the answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._jobs = Counter(
            "gpu_kmeans_jobs", "Jobs that ended.", ("state",), registry=self.registry
        )
        self._waits = Histogram(
            "gpu_kmeans_job_wait_seconds",
            "From a job's request to its beginning, or to its end where it never began.",
            ("kind",),
            buckets=JOB_BUCKETS,
            registry=self.registry,
        )
        self._durations = Histogram(
            "gpu_kmeans_job_seconds",
            "From a job's beginning to its end.",
            ("kind", "state"),
            buckets=JOB_BUCKETS,
            registry=self.registry,
        )
        self._versions = Counter(
            "gpu_kmeans_model_versions",
            "Versions loaded into memory, and those that left it to make room.",
            ("event",),
            registry=self.registry,
        )
        for event in ("loaded", "evicted"):
            self._versions.labels(event)
        self._backend = Info("gpu_kmeans_backend", "What fits run on.", registry=self.registry)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number as it is when it is asked for."""
        Gauge(f"gpu_kmeans_{name}", meaning, registry=self.registry).set_function(value)

    def backend(self, name: str) -> None:
        """Tell what fits run on."""
        self._backend.info({"name": name})

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        # A client may send any word for a method.
        known = method if method in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def job(self, state: str) -> None:
        """Count a job that ended."""
        self._jobs.labels(state).inc()

    def job_times(self, kind: str, state: str, waited: float, ran: float | None) -> None:
        """Count how long a job waited, and how long it ran if it did, in seconds."""
        self._waits.labels(kind).observe(waited)
        if ran is not None:
            self._durations.labels(kind, state).observe(ran)

    def version(self, event: str) -> None:
        """Count a version that came into memory, or left it."""
        self._versions.labels(event).inc()

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        exposition: bytes = generate_latest(self.registry)
        return exposition
