"""What a round has before it when it decides."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.correlation.policy import Episode, Policy, Progress, Situation
from bridge.dictionary.reading import Reading
from bridge.servicenow.table import TableApi
from bridge.servicenow.ways import Way
from bridge.settings import Target
from bridge.store.work import Held
from bridge.sync.alert import Speaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at a held correlation: what the alerts say, where it goes, and by which policy."""

    held: Held
    speaker: Speaker
    target: Target
    table: TableApi
    way: Way
    reading: Reading  # what the instance has told of its tables
    policy: Policy
    progress: Progress  # with the pending alerts folded in
    episode: Episode | None

    def situation(self, *, brake: bool = False) -> Situation:
        return Situation(
            progress=self.progress,
            pending=self.held.pending,
            applied_changed_time=self.held.progress.changed_time,
            episode=self.episode,
            routed=self.speaker.mapped.target is not None,
            brake=brake,
        )
