"""Where records of real instances differ, or nothing is published: one behaviour is the default, a switch has more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class UnknownField(StrEnum):
    """What a query that names an unknown field does: reports differ."""

    IGNORE = "ignore"  # that part filters nothing [OFFICIAL]
    FORBIDDEN = "forbidden"  # 403 [OBSERVED]
    NO_ROWS = "no_rows"  # glide.invalid_query.returns_no_rows=true [OFFICIAL]


class BareDelete(StrEnum):
    """A DELETE without Content-Type."""

    REFUSED = "refused"  # 400 [OFFICIAL c_TableAPI.md: required of DELETE too]
    ACCEPTED = "accepted"  # [CLIENT PySNC never sends it]


class Unchanged(StrEnum):
    """What an import says of a row that changes nothing in its target. Neither is verified."""

    IGNORED = "ignored"
    UPDATED = "updated"


class OAuthErrors(StrEnum):
    """How the token endpoint refuses."""

    CATCH_ALL = "catch_all"  # server_error, access_denied, whatever was wrong [OBSERVED]
    SPECIFIC = "specific"  # invalid_client, invalid_grant, … [ALIKE]


class Jti(StrEnum):
    """The `jti` claim of an assertion: verified by default [OFFICIAL]; of a missing one nothing is told."""

    ONCE = "once"  # one that was seen before is refused, a missing one is taken
    REQUIRED = "required"  # a missing one is refused too
    OFF = "off"


class StateOrder(StrEnum):
    """Whether REST holds a security incident to the order of its states [UNVERIFIED]."""

    FREE = "free"
    STATEFUL = "stateful"  # "NIST Stateful": forward, one step at a time


class Hibernation(StrEnum):
    PAGE = "page"  # 200 with an HTML page [OBSERVED]
    REDIRECT = "redirect"  # 302 to the developers' site [ALIKE]


@dataclass(slots=True, kw_only=True)
class Switches:
    unknown_query_field: UnknownField = UnknownField.IGNORE
    unknown_uri_status: int = 400  # or 404: both are recorded, the documentation's table says 400
    oversize_status: int = 413  # or 400: not told
    bare_delete: BareDelete = BareDelete.ACCEPTED
    import_unchanged: Unchanged = Unchanged.IGNORED
    oauth_errors: OAuthErrors = OAuthErrors.CATCH_ALL
    jti: Jti = Jti.ONCE
    state_order: StateOrder = StateOrder.FREE
    hibernation: Hibernation = Hibernation.PAGE
