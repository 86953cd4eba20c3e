"""Tables of the correlation log beside its entries: what is sealed, the tree, the checkpoints, and where they went."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from bridge.store.columns import Id, Instant
from bridge.store.tables import log_entries, metadata

Index(  # PostgreSQL: where the next seal begins. On SQLite it is empty.
    "log_entries_by_xact",
    log_entries.c.xact,
    log_entries.c.id,
    sqlite_where=log_entries.c.xact.is_not(None),
)

# One row. Whoever seals holds its lock, so there is one sealer at a time, whichever process it is in.
log_head = Table(
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True),  # 1
    Column("size", BigInteger, nullable=False),  # of the tree: entries sealed
    Column("horizon", Text, nullable=False),  # JSON of sealing.Horizon: which entries those are
    Column("keys", Text, nullable=False),  # vkey lines of those who signed the newest checkpoint; empty: there is none
    Column("sealed_at", Instant),  # of the newest seal; NULL: there is none
)

# What each sealing took. Rows are only added; pruning leaves them.
log_seals = Table(
    "log_seals",
    metadata,
    Column("first_index", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "size", BigInteger, nullable=False
    ),  # of the tree after it; it holds the indices from first_index up to here
    Column("ids", LargeBinary, nullable=False),  # log_entries.id in the order of their indices, int64 little-endian
    Column("id_min", Id, nullable=False),
    Column("id_max", Id, nullable=False),
    Column("root", LargeBinary, nullable=False),  # of the tree of `size`
    Column("note", Text, nullable=False),  # the checkpoint, signed
    Column("at", Instant, nullable=False),
)
Index("log_seals_by_ids", log_seals.c.id_min, log_seals.c.id_max)

# The tree, as C2SP tlog-tiles cuts it: 256 hashes a tile; level 0 holds leaf hashes, a level above the roots of the
# full tiles below it. The last tile of a level is rewritten by each seal until it is full. Pruning leaves them.
log_tiles = Table(
    "log_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),  # 32 bytes each
)

# Where checkpoints go outside the database, and how far each has got.
log_anchors = Table(
    "log_anchors",
    metadata,
    Column("name", Text, primary_key=True),  # file:var/anchors.log, syslog:host:6514
    Column("size", BigInteger, nullable=False),  # of the last checkpoint that it took; 0: none
    Column("at", Instant),  # when; NULL: never
    Column("failed_at", Instant),  # since when it fails; NULL: it works
    Column("error", Text),  # why, as a sentence
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("due_at", Instant),  # no process sends to it before; NULL: any may
)
