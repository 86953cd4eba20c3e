"""The tables, once, for both engines. Times are integers: microseconds since 1970 UTC. Severities are 1 (info) to 5.

    sources ──► deliveries ──► alerts ──► correlations ──► episodes ──► incidents ──► intents
                                                   every step ──► log_entries

`episodes` links correlations to incidents: several can share one. `join_keys` says which incident takes the next in.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    case,
    func,
    not_,
    or_,
    text,
)

from bridge.store.columns import Id, Instant, ThisTransaction

metadata = MetaData()

installation = Table(
    "installation",
    metadata,
    Column("id", Text, primary_key=True),  # 8 lower-case hex digits; marks our records in correlation_display
    Column("created_at", Instant, nullable=False),
    # The store may lack what was written since: look before each create. NULL: it does not; a full reconcile clears it.
    Column("restored_at", Instant),
    Column("configuration", LargeBinary),  # JSON: key of bridge.yaml -> digest of its value, at the last start
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("mapping", Text, nullable=False),
    Column("digest", Text, nullable=False),  # SHA-256 hex of the mapping, its includes and look-up files together
    Column("files", LargeBinary, nullable=False),  # JSON object: path below the mappings folder -> text
    Column("first_used_at", Instant, nullable=False),
    UniqueConstraint("mapping", "digest"),
)

# What is in use: of each mapping the newest row. Rows are only ever added, one publisher at a time (revisions.lock), so
# the highest id tells every process whether anything was published since it last looked.
publications = Table(
    "publications",
    metadata,
    Column("id", Id, primary_key=True),
    Column("mapping", Text, nullable=False),
    Column("revision_id", Id, ForeignKey("revisions.id")),  # NULL: the mapping was removed
    Column("published_at", Instant, nullable=False),
    Column("author", Text, nullable=False),  # "": nobody is known, the files were found changed on disk
    Column("author_known_by", Text, nullable=False),  # revisions.KnownBy
    Column("note", Text, nullable=False),
    # The digest of the mapping on disk at that time. After a rollback it differs from the revision's; as long as the
    # disk holds this and nothing newer, the rollback stays in use. NULL: the disk held nothing that could be used.
    Column("disk_digest", Text),
)
Index("publications_by_mapping", publications.c.mapping, publications.c.id)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # SHA-256, first 16 bytes, of source, sender's delivery id and content. `occurrence` tells equal contents without a
    # sender's id apart: the next one is only taken when it is news; two intakes that think so at once collide here.
    Column("fingerprint", LargeBinary, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("sender_id", Text),  # the sender's delivery id, when it gives one; NULL once erased
    Column("received_at", Instant, nullable=False),
    Column("revision_id", Id, ForeignKey("revisions.id")),  # the mapping revision that intake used
    Column("content_type", Text, nullable=False),
    Column("body", LargeBinary),  # as received; NULL once erased
    # What the mapping was given, where its envelope or coding made something else of the body; empty: nothing could be
    # taken out. To be erased with the body.
    Column("content", LargeBinary),
    UniqueConstraint("fingerprint", "occurrence"),
)
# What a mapping is given of a delivery; NULL once erased.
delivered = case(
    (deliveries.c.body.is_(None), None), else_=func.coalesce(deliveries.c.content, deliveries.c.body)
).label("body")

correlations = Table(
    "correlations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("key", Text, nullable=False),  # alert.key_of(correlation_id): compared without case
    Column("correlation_id", Text, nullable=False),  # as first seen; what ServiceNow stores
    Column("correlation_text", Text, nullable=False),  # before the 100-character rule
    Column("source", Text, nullable=False),  # of its newest alert
    Column("mapping", Text, nullable=False),
    Column("target", Text),  # of the open episode, else where it waits, or the newest firing alert's route; NULL: drop
    # --- written by intake, under the row's lock
    Column("last_seq", BigInteger, nullable=False),  # seq of the newest alert by arrival; gap-free from 1
    Column("status", Text, nullable=False),  # of the newest alert by (event time, seq)
    Column("status_time", Instant, nullable=False),  # that alert's event time
    Column("status_changed_seq", BigInteger, nullable=False),  # seq of the alert that last changed the status
    Column("severity", SmallInteger, nullable=False),  # worst accepted since the last episode began or ended; 0: none
    Column("alert_count", BigInteger, nullable=False),  # all alerts ever, suppressed ones too
    Column("first_seen", Instant, nullable=False),  # event times
    Column("last_seen", Instant, nullable=False),
    # --- written by sync, fenced by the incident's epoch
    Column("open", Boolean, nullable=False),  # an episode is open
    Column("episode", Integer, nullable=False),  # number of the newest episode; 0 before the first
    Column("applied_seq", BigInteger, nullable=False),  # alerts up to here are settled
    Column("applied", LargeBinary),  # JSON of policy.Progress at applied_seq; NULL before the first settle
    Column("due_at", Instant),  # when sync must look again; NULL: only a new alert or a person wakes it
    Column("failures", Integer, nullable=False),  # in a row; while > 0 a new alert does not hasten due_at
    Column("failure", Text),  # code of the last failure; NULL: none
    Column("failure_text", Text),  # the sentence with the remedy
    Column("waits_for_person", Boolean, nullable=False),  # permanent failure: never due until somebody says so
    Column("last_decision", Text),  # "kind: reason" of the last decision settled
    Column("sync_asked_at", Instant),  # a person asked to try again, refusals forgotten; NULL: heeded since
    UniqueConstraint("tenant", "key"),
)
# Every ID that leads to a correlation: its own, and those under which a change of the mapping's `correlation.id` has
# made it known besides. Intake asks here, so that a process with the old revision and one with the new agree.
correlation_keys = Table(
    "correlation_keys",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # alert.key_of of an ID
    Column("correlation", Id, ForeignKey("correlations.id"), nullable=False),
    sqlite_with_rowid=False,
)
Index(  # in the order of claims: due.ORDER
    "correlations_due",
    correlations.c.open,
    correlations.c.status,
    correlations.c.due_at,
    sqlite_where=correlations.c.due_at.is_not(None),
    postgresql_where=correlations.c.due_at.is_not(None),
)


def is_new(row: Any) -> ColumnElement[bool]:
    """A problem that is due at some time, and that nobody sees yet: due.ORDER's first.

    In one term: of three, SQLite would rather look up two in `correlations_due`, and then at all that is new.
    """
    return not_(or_(row.open, row.status != text("'firing'"), row.due_at.is_(None)).self_group())


Index(
    "correlations_new",
    correlations.c.source,
    correlations.c.due_at,
    sqlite_where=is_new(correlations.c),
    postgresql_where=is_new(correlations.c),
)
Index(
    "correlations_failing",
    correlations.c.failure,
    sqlite_where=correlations.c.failure.is_not(None),
    postgresql_where=correlations.c.failure.is_not(None),
)
Index(  # what sync has not settled: the age of the queue
    "correlations_unapplied",
    correlations.c.id,
    sqlite_where=correlations.c.applied_seq < correlations.c.last_seq,
    postgresql_where=correlations.c.applied_seq < correlations.c.last_seq,
)
Index(  # brake.BRAKED: looked at before every create
    "correlations_braked",
    correlations.c.target,
    correlations.c.severity,
    sqlite_where=correlations.c.last_decision == "nothing: brake",
    postgresql_where=correlations.c.last_decision == "nothing: brake",
)

alerts = Table(
    "alerts",
    metadata,
    # An alert's public id is "<delivery_id>-<position>".
    Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True),
    Column("position", Integer, primary_key=True),  # index of the element that `each` yields; 0 without `each`
    # True: stands for the whole delivery from `position` on (undecodable, or more alerts than are taken).
    Column("covers_rest", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),  # alert.Outcome
    Column("reason", Text, nullable=False),  # "new", "repeat", a suppression's name, "route_drop", "discarded", …
    Column("detail", Text),  # quarantine: the sentence for a person
    Column("correlation", Id, ForeignKey("correlations.id")),  # NULL: quarantined or dropped
    Column("correlation_id", Text),  # as answered; NULL: quarantined or discarded
    Column("seq", BigInteger),  # within the correlation; NULL where correlation is NULL
    Column("status", Text),
    Column("severity", SmallInteger),
    Column("event_time", Instant),  # received time when the alert has none, or one more than 5 min ahead
    Column("received_at", Instant, nullable=False),
    Column("target", Text),  # the route at intake
    Column("revision_id", Id, ForeignKey("revisions.id")),
)
Index(
    "alerts_by_correlation",
    alerts.c.correlation,
    alerts.c.seq,
    unique=True,
    sqlite_where=alerts.c.correlation.is_not(None),
    postgresql_where=alerts.c.correlation.is_not(None),
)
Index(
    "alerts_quarantined",
    alerts.c.delivery_id,
    alerts.c.position,
    sqlite_where=alerts.c.outcome == "quarantined",
    postgresql_where=alerts.c.outcome == "quarantined",
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),  # what the record carries: the first correlation's
    Column("mapping", Text, nullable=False),
    Column("state", Text, nullable=False),  # planned | open | ended
    Column("sys_id", Text),
    Column("number", Text),
    # --- the lease: one holder per incident, whichever correlation led to it
    Column("lease_until", Instant),
    Column("epoch", BigInteger, nullable=False),  # rises with every claim; outcomes settle only under their own
    # --- what ServiceNow was told and what people did: policy.Episode as JSON; NULL while planned
    Column("episode", LargeBinary),
    Column("written", LargeBinary),  # JSON: field -> {"sent": [this episode], "read": as last read back}
    Column("record_state", Text),  # the record's state as our last write of it read it back
    Column("state_before_close", Text),
    Column("created_at", Instant),  # when the create was applied
    Column("ended_at", Instant),
    Column("checked_at", Instant),  # last read of the record
    Column("seen", LargeBinary),  # JSON of held.Seen: the record as we last read it; NULL: never
    Column("look_at", Instant),  # since when somebody else's change waits to be read; NULL: nothing is known of one
    Column("erased_at", Instant),  # when its values were taken out of all rows; NULL: they were not, or others came
    UniqueConstraint("target", "sys_id"),
)
Index(
    "incidents_by_record",
    incidents.c.sys_id,
    sqlite_where=incidents.c.sys_id.is_not(None),
    postgresql_where=incidents.c.sys_id.is_not(None),
)

episodes = Table(
    "episodes",
    metadata,
    Column("correlation", Id, ForeignKey("correlations.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, 2, …
    Column("incident", Id, ForeignKey("incidents.id"), nullable=False),
    Column("part", Text, nullable=False, server_default="opened"),  # held.Part: how the correlation came to it
)
Index("episodes_by_incident", episodes.c.incident)

# Which incident takes in what has these values. Once it takes nothing in any more, the next one takes the row over.
join_keys = Table(
    "join_keys",
    metadata,
    Column("target", Text, primary_key=True),
    Column("digest", Text, primary_key=True),  # alert.JoinKey: over the mapping's name, the rule and the values
    Column("incident", Id, ForeignKey("incidents.id"), nullable=False),
    Column("since", Instant, nullable=False),  # when its create was intended, or observed
    sqlite_with_rowid=False,
)
Index("join_keys_by_incident", join_keys.c.incident)

intents = Table(
    "intents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("incident", Id, ForeignKey("incidents.id"), nullable=False),
    Column("correlation", Id, ForeignKey("correlations.id"), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("operation", Text, nullable=False),  # create | update | close | reopen
    Column("reason", Text, nullable=False),  # policy.Reason
    Column("target", Text, nullable=False),
    Column("ref", Text, nullable=False),  # the [ref] a work note carries: tells whether it arrived
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of fields; empty once they are erased
    Column("fields", LargeBinary, nullable=False),  # JSON, as sent; {} once erased
    Column("read_seq", BigInteger, nullable=False),  # alerts up to here are told by this write
    # Erasable, as `fields`: the log holds their salted digests alone.
    Column("salt", LargeBinary),  # 16 random bytes; NULL: erased, or written before there were digests
    Column("before", LargeBinary),  # JSON: field written -> what was read of it before; NULL as `salt`
    Column("settlement", LargeBinary, nullable=False),  # JSON of held.Settlement: what is true once it was applied
    Column("revision_id", Id, ForeignKey("revisions.id")),  # the mapping revision that rendered it
    Column("started_at", Instant, nullable=False),
    Column("deadline", Instant, nullable=False),  # nothing is sent after it
    Column("outcome", Text),  # applied | not_applied | ambiguous | permanent; NULL: not known, as after a crash
    Column("outcome_code", Text),
    Column("sys_id", Text),  # learned by a create, kept even when the lease was lost; of a refusal: a record it made
    Column("number", Text),
    Column("finished_at", Instant),
)
Index("intents_by_incident", intents.c.incident)
Index(
    "intents_creates",
    intents.c.target,
    intents.c.started_at,
    sqlite_where=intents.c.operation == "create",
    postgresql_where=intents.c.operation == "create",
)
Index(
    "intents_not_coalesced",
    intents.c.target,
    sqlite_where=intents.c.outcome_code == "not_coalesced",
    postgresql_where=intents.c.outcome_code == "not_coalesced",
)

# What goes with an incident beside its record, once: the raw alert attached, observables, outputs. Planned with the
# intent of the create, due from its settlement on; nothing of it holds the incident itself up.
additions = Table(
    "additions",
    metadata,
    Column("incident", Id, ForeignKey("incidents.id"), primary_key=True),
    Column("kind", Text, primary_key=True),  # attachment | observables | output:<its name in the mapping>
    Column("correlation", Id, ForeignKey("correlations.id"), nullable=False),
    Column("delivery_id", Id, nullable=False),  # the alert that it is made of
    Column("position", Integer, nullable=False),
    Column("revision_id", Id, ForeignKey("revisions.id")),  # the mapping revision that asked for it
    Column("content", LargeBinary),  # JSON: observables, or an output's facts; NULL: the alert itself, in its delivery
    Column("due_at", Instant),  # NULL: the create is not settled yet, or it is over
    Column("lease_until", Instant),
    Column("epoch", BigInteger, nullable=False),  # rises with every claim, as an incident's does
    Column("sent_until", Instant),  # of a try whose outcome is not known: nothing was sent after it. NULL: none
    Column("failures", Integer, nullable=False),  # in a row, of whatever kind: the next pause grows with them
    Column("tries", Integer, nullable=False, server_default="0"),  # that were sent and are not known to have worked
    Column("outcome", Text),  # added | given_up; NULL: yet to be done
    Column("outcome_code", Text),  # why it was given up, or why it waits
    Column("outcome_text", Text),
    Column("finished_at", Instant),
)
Index(
    "additions_due",
    additions.c.due_at,
    sqlite_where=additions.c.due_at.is_not(None),
    postgresql_where=additions.c.due_at.is_not(None),
)

target_states = Table(
    "target_states",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused_at", Instant),  # NULL: not paused
    Column("paused_by", Text),
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("action", Text, nullable=False),  # log.entries.Action
    Column("source", Text),
    Column("correlation", Id),  # correlations.id, for `incidents show`
    Column("incident", Id),  # incidents.id
    Column("delivery", Id),
    Column("entry", LargeBinary, nullable=False),  # canonical JSON: a leaf of the log's tree, once it is sealed
    # PostgreSQL: the transaction that wrote it; 0 of what is older than this column. NULL on SQLite, which needs none.
    Column("xact", BigInteger, server_default=ThisTransaction()),
    Column("said", Text),  # the sentence for people beside it: may quote values, is not sealed. NULL: none, or erased
)
Index(
    "log_entries_by_correlation",
    log_entries.c.correlation,
    sqlite_where=log_entries.c.correlation.is_not(None),
    postgresql_where=log_entries.c.correlation.is_not(None),
)
Index(
    "log_entries_by_incident",
    log_entries.c.incident,
    sqlite_where=log_entries.c.incident.is_not(None),
    postgresql_where=log_entries.c.incident.is_not(None),
)
Index(
    "log_entries_by_delivery",
    log_entries.c.delivery,
    sqlite_where=log_entries.c.delivery.is_not(None),
    postgresql_where=log_entries.c.delivery.is_not(None),
)
