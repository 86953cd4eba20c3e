"""Tables of Threat Intelligence and of the enrichment results."""

from __future__ import annotations

from bridge.simulator.table import Table, columns

# Type names differ by writer: Elastic's app says the value, the platform shows the name [KIBANA, ALIKE].
OBSERVABLE_TYPES = (
    ("ipv4-addr", "IP address (V4)"),
    ("ipv6-addr", "IP address (V6)"),
    ("domain-name", "Domain name"),
    ("URL", "URL"),
    ("MD5", "MD5 hash"),
    ("SHA1", "SHA1 hash"),
    ("SHA256", "SHA256 hash"),
    ("email-addr", "Email address"),
)
CONTEXT_TYPES = ("source", "destination", "referrer")  # [OFFICIAL]

SECURITY_TABLES = (
    Table(
        name="sn_ti_observable",
        label="Observable",
        columns=columns(
            "value type finding incident_count notes sighting_count security_tags has_manual_finding_override"
        ),
        display="value",
        defaults={"finding": "Unknown", "incident_count": "0", "sighting_count": "0"},
        references={"type": "sn_ti_observable_type"},
    ),
    Table(
        name="sn_ti_observable_type",
        label="Observable type",
        columns=columns("name value description"),
        display="name",
    ),
    Table(
        name="sn_ti_observable_context_type",
        label="Observable context type",
        columns=columns("name"),
        display="name",
    ),
    Table(
        name="sn_ti_m2m_task_observable",
        label="Task observable",
        columns=columns("task observable context_type"),
        display="sys_id",
        references={
            "task": "sn_si_incident",
            "observable": "sn_ti_observable",
            "context_type": "sn_ti_observable_context_type",
        },
    ),
    # Targets are [OFFICIAL]; no list of their columns is published: these are this simulator's choice, but for
    # observable, source_engine and finding [ALIKE].
    Table(
        name="sn_sec_cmn_ci_enrichment_result",
        label="CI enrichment result",
        columns=columns("cmdb_ci task source_engine name value raw_data"),
        display="name",
        references={"task": "sn_si_incident"},
    ),
    Table(
        name="sn_ti_observable_enrichment_result",
        label="Observable enrichment result",
        columns=columns("observable task source_engine finding name value raw_data"),
        display="name",
        references={"task": "sn_si_incident", "observable": "sn_ti_observable"},
    ),
    Table(
        name="sn_ti_lookup_result",
        label="Threat lookup result",
        columns=columns("observable task source_engine finding result details raw_data"),
        display="source_engine",
        references={"task": "sn_si_incident", "observable": "sn_ti_observable"},
    ),
)
