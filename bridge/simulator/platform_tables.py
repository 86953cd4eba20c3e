"""Tables of the platform itself: schema, choices, attachments, and the events of Event Management."""

from __future__ import annotations

from bridge.simulator.table import Table, columns

PLATFORM_TABLES = (
    Table(
        name="sys_dictionary",
        label="Dictionary entry",
        columns=columns(
            "name element column_label internal_type max_length mandatory active array read_only reference"
        ),
        display="element",
    ),
    Table(
        name="sys_choice",
        label="Choice",
        columns=columns("name element label value language inactive sequence dependent_value hint"),
        display="label",
        defaults={"language": "en", "inactive": "false"},
    ),
    # [OFFICIAL] the record printed for the Attachment API.
    Table(
        name="sys_attachment",
        label="Attachment",
        columns=columns(
            "table_name table_sys_id file_name content_type size_bytes size_compressed compressed image_height"
            " image_width average_image_color hash"
        ),
        display="file_name",
    ),
    # Columns [KIBANA addEvent]; state and its default are [UNVERIFIED].
    Table(
        name="em_event",
        label="Event",
        columns=columns(
            "source event_class resource node metric_name type severity description additional_info message_key"
            " time_of_event resolution_state state processing_notes"
        ),
        display="message_key",
        defaults={"state": "Ready"},
    ),
)
