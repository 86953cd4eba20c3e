"""Tables of the platform itself: schema, choices, attachments, and the events of Event Management."""

from __future__ import annotations

from bridge.simulator.table import Table, columns

PLATFORM_TABLES = (
    Table(
        name="sys_dictionary",
        label="Dictionary entry",
        columns=columns(
            "name element column_label internal_type max_length mandatory active array read_only reference"
            " default_value"
        ),
        display="element",
    ),
    # What can be overridden is documented; the names of the columns are [UNVERIFIED].
    Table(
        name="sys_dictionary_override",
        label="Dictionary entry override",
        columns=columns(
            "name base_table element mandatory_override mandatory read_only_override read_only default_value_override"
            " default_value attributes_override attributes"
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
    Table(name="sys_user_role", label="Role", columns=columns("name description"), display="name"),
    Table(
        name="sys_user_has_role",
        label="User role",
        columns=columns("user role inherited state"),
        display="role",
        defaults={"inherited": "false", "state": "active"},
        references={"user": "sys_user", "role": "sys_user_role"},
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
