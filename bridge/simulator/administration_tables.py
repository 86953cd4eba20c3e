"""Tables that tell who may come in, and do what: nothing is written to them here, `administration.py` fills them.

That these tables and columns are there is seen in public code that sets access up, not in ServiceNow's documentation.
"""

from __future__ import annotations

from bridge.simulator.table import Table, columns

ADMINISTRATION_TABLES = (
    Table(name="sys_plugins", label="Plugin", columns=columns("id name active"), display="name"),
    Table(name="v_plugin", label="Plugin", columns=columns("id name active"), display="name"),
    Table(name="sys_properties", label="System property", columns=columns("name value"), display="name"),
    Table(
        name="sys_api_access_policy",
        label="REST API access policy",
        columns=columns("name active api_path apply_all_tables apply_all_methods apply_all_versions"),
        display="name",
    ),
    Table(
        name="inbound_auth_profile",
        label="Inbound authentication profile",
        columns=columns("name active sys_class_name"),
        display="name",
    ),
    Table(
        name="http_key_auth",
        label="API key profile",
        columns=columns("name active sys_class_name auth_parameter"),
        display="name",
        parent="inbound_auth_profile",
        references={"auth_parameter": "sys_token_auth_parameter"},
    ),
    Table(
        name="std_http_auth",
        label="Standard HTTP profile",
        columns=columns("name active sys_class_name type"),
        display="name",
        parent="inbound_auth_profile",
    ),
    Table(
        name="sys_token_auth_parameter",
        label="Authentication parameter",
        columns=columns("parameter_name type"),
        display="parameter_name",
    ),
    Table(
        name="sys_auth_profile_mapping",
        label="Profile of a policy",
        columns=columns("api_access_policy inbound_auth_profile"),
        display="sys_id",
        references={"api_access_policy": "sys_api_access_policy", "inbound_auth_profile": "inbound_auth_profile"},
    ),
    Table(
        name="api_key",
        label="REST API key",
        columns=columns("name user active expires token"),
        display="name",
        references={"user": "sys_user"},
    ),
    Table(
        name="oauth_entity",
        label="Application registry",
        columns=columns("name client_id active user"),
        display="name",
        references={"user": "sys_user"},
    ),
    Table(
        name="oauth_jwt",
        label="OAuth JWT API endpoint",
        columns=columns("name client_id active user user_field clock_skew"),
        display="name",
        parent="oauth_entity",
        references={"user": "sys_user"},
    ),
    Table(
        name="jwt_verifier_map",
        label="JWT verifier map",
        columns=columns("name kid oauth_jwt sys_certificate"),
        display="kid",
        references={"oauth_jwt": "oauth_jwt", "sys_certificate": "sys_certificate"},
    ),
    Table(name="sys_certificate", label="Certificate", columns=columns("name pem_certificate"), display="name"),
    Table(
        name="sys_user_grmember",
        label="Group member",
        columns=columns("user group"),
        display="sys_id",
        references={"user": "sys_user", "group": "sys_user_group"},
    ),
    Table(
        name="sys_group_has_role",
        label="Group role",
        columns=columns("group role"),
        display="sys_id",
        references={"group": "sys_user_group", "role": "sys_user_role"},
    ),
    Table(
        name="sys_db_object",
        label="Table",
        columns=columns("name label ws_access"),
        display="name",
    ),
    Table(
        name="sys_security_acl",
        label="Access control",
        columns=columns("name operation type active"),
        display="name",
    ),
    Table(
        name="sys_security_acl_role",
        label="Access role",
        columns=columns("sys_security_acl sys_user_role"),
        display="sys_id",
        references={"sys_security_acl": "sys_security_acl", "sys_user_role": "sys_user_role"},
    ),
)
KEY_TABLES = frozenset({"api_key", "http_key_auth", "sys_token_auth_parameter"})  # of the plugin of API keys
ADMINISTRATION = frozenset(table.name for table in ADMINISTRATION_TABLES) | {"sys_user", "sys_user_has_role"}
