"""What Prometheus is told. Objects in a registry of their own; labels come from closed sets, never from a sender."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

UNKNOWN_SOURCE = "unknown"  # the label of every name that is not configured
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, which nobody reads
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
CHILDREN_MAX = 4_096  # labelled counters kept at hand: finding one by its labels costs more than counting


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits, read from the store when Prometheus asks."""

    due: int  # correlations that are due now
    oldest_unapplied_seconds: float  # since the oldest alert that is yet to be settled was received; 0: there is none
    quarantined: int  # alerts
    unsealed: int  # entries of the correlation log, counted up to sealing.COUNTED_MAX
    sealing_lag_seconds: float  # since the oldest of them was written; 0: there is none
    troubles: tuple[tuple[str, str], ...] = ()  # (source, correlation.lamps.Kind), where `attention` is configured


class Metrics:
    """One for each process. The names are promises: dashboards and alerts are built on them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._deliveries = self._counter(
            "bridge_deliveries", "Deliveries answered 200, by outcome.", "source", "outcome"
        )
        self._refused = self._counter("bridge_deliveries_refused", "Deliveries refused.", "source", "reason")
        self._calls = self._counter("bridge_servicenow_calls", "Calls to ServiceNow.", "instance", "outcome")
        self._breakers = Gauge(
            "bridge_servicenow_held",
            "1 while an instance is left alone after failures, 0.5 while it is tried again, else 0: /readyz says why.",
            ["instance"],
            registry=self.registry,
        )
        self._apart = _ApartCollector()
        self.registry.register(self._apart)
        self._decisions = self._counter("bridge_decisions", "Decisions settled.", "kind", "reason")
        self._additions = self._counter("bridge_additions", "What goes with an incident, once.", "kind", "outcome")
        self._anchored = Gauge(
            "bridge_log_anchored_size",
            "Entries of the log under the last checkpoint that an anchor took.",
            ["anchor"],
            registry=self.registry,
        )
        self._anchor_failures = self._counter(
            "bridge_log_anchor_failures", "Checkpoints that an anchor did not take: /readyz says why.", "anchor"
        )
        self.queue_seconds = self._histogram("bridge_intake_queue_seconds", "Wait of a delivery for its batch.")
        self.commit_seconds = self._histogram("bridge_intake_commit_seconds", "Storing of one batch, made durable.")
        # A child is kept: `labels` is not free, and every request needs one.
        self._child = lru_cache(maxsize=CHILDREN_MAX)(lambda counter, first, second: counter.labels(first, second))

    def delivered(self, source: str, outcome: str) -> None:
        """`outcome`: accepted, quarantined (something in it was), or duplicate; or it was a handshake."""
        self._child(self._deliveries, source, outcome).inc()

    def refused(self, source: str, reason: str) -> None:
        self._child(self._refused, source, reason).inc()

    def called(self, instance: str, outcome: str) -> None:
        """One call to ServiceNow: applied, not_applied, ambiguous or permanent; read and token when those worked."""
        self._child(self._calls, instance, outcome).inc()

    def decided(self, kind: str, reason: str) -> None:
        self._child(self._decisions, kind, reason).inc()

    def added(self, kind: str, outcome: str) -> None:
        """`kind`: attachment, observables or output; `outcome`: added or given_up."""
        self._child(self._additions, kind, outcome).inc()

    def anchored(self, anchor: str, size: int) -> None:
        self._anchored.labels(anchor).set(size)
        self._anchor_failures.labels(anchor)  # there from the first look on, at 0

    def anchor_failed(self, anchor: str) -> None:
        self._anchor_failures.labels(anchor).inc()

    def watch(self, backlog: Callable[[], Backlog | None]) -> None:
        """Ask `backlog` at every scrape; None, when the store does not answer, leaves its gauges out."""
        self.registry.register(_BacklogCollector(backlog))

    def watch_mappings(self, refused: Callable[[], bool]) -> None:
        """Ask `refused` at every scrape: is a change of the mappings kept out of use?"""
        gauge = Gauge(
            "bridge_mappings_refused",
            "1 while a change of the mappings is refused and the old ones stay in use: /readyz says why.",
            registry=self.registry,
        )
        gauge.set_function(lambda: float(refused()))

    def watch_instance(
        self, instance: str, held: Callable[[], float], apart: Callable[[], Mapping[str, float]]
    ) -> None:
        """Ask `held` at every scrape: 1 while the instance is left alone, 0.5 while it is tried again, else 0. `apart`:
        the same of each API that is left alone by itself.
        """
        self._breakers.labels(instance).set_function(held)
        self._apart.of[instance] = apart

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, registry=self.registry, buckets=COMMIT_BUCKETS)


class _ApartCollector(Collector):
    """The APIs of an instance are known once they are called."""

    def __init__(self) -> None:
        self.of: dict[str, Callable[[], Mapping[str, float]]] = {}  # by instance

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "bridge_servicenow_api_held",
            "1 while an API of an instance is left alone by itself, 0.5 while it is tried again, else 0.",
            labels=("instance", "api"),
        )
        for instance, apart in self.of.items():
            for api, held in apart().items():
                family.add_metric((instance, api), held)
        yield family


class _BacklogCollector(Collector):
    def __init__(self, backlog: Callable[[], Backlog | None]) -> None:
        self._backlog = backlog

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # registering must not ask the store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        backlog = self._backlog()
        if backlog is None:
            return
        yield GaugeMetricFamily("bridge_correlations_due", "Correlations that are due.", backlog.due)
        yield GaugeMetricFamily(
            "bridge_alerts_unapplied_oldest_seconds",
            "How long ago the oldest alert was received that sync has yet to settle, however often it was tried.",
            backlog.oldest_unapplied_seconds,
        )
        yield GaugeMetricFamily("bridge_quarantined_alerts", "Alerts in quarantine.", backlog.quarantined)
        yield GaugeMetricFamily(
            "bridge_log_unsealed", "Entries of the correlation log that wait to be sealed.", backlog.unsealed
        )
        yield GaugeMetricFamily(
            "bridge_log_sealing_lag_seconds",
            "How long ago the oldest entry of the correlation log was written that is not sealed.",
            backlog.sealing_lag_seconds,
        )
        troubles = GaugeMetricFamily(
            "bridge_source_troubles", "What is wrong with a source: 1 while it is.", labels=("source", "kind")
        )
        for labels in backlog.troubles:
            troubles.add_metric(labels, 1)
        yield troubles
