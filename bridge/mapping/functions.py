"""The functions of a pipe: one literal dict of what people are told of each, and of how it is built. Pure.

A test runs every example; the reference is made from `usage`, `doc`, `example` and `gives`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.alert import Json
from bridge.mapping import steps, webtext
from bridge.mapping.language import Call, LanguageError, Word, nearest
from bridge.mapping.lookups import Lookups
from bridge.mapping.steps import Step
from bridge.mapping.values import clean, number_of, time_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    usage: str  # as it is written behind a pipe; brackets around what may be left out
    doc: str  # one line
    example: str  # an expression …
    gives: str  # … and its text
    alert: Json = None  # … for this alert, where a literal is not enough
    build: Callable[..., Step]
    kinds: tuple[type, ...] = ()  # of the arguments, in order
    required: int = 0
    keywords: tuple[str, ...] = ()  # columns of a look-up table, keys of the elements of a list; all are required
    asks_tables: bool = False  # `build` takes the Lookups first


def build_step(call: Call, lookups: Lookups) -> Step:
    """The closure of one call. Raises LanguageError for an unknown function or wrong arguments."""
    function = FUNCTIONS.get(call.function)
    if function is None:
        raise LanguageError(f"there is no function `{call.function}`", nearest(call.function, sorted(FUNCTIONS)))
    _check_arguments(call, function)
    if function.asks_tables:
        return function.build(lookups, *call.arguments, **dict(call.keywords))
    return function.build(*call.arguments, **dict(call.keywords))


def _check_arguments(call: Call, function: Function) -> None:
    name, usage = call.function, f"{call.function} is written {function.usage}"
    given, most = len(call.arguments), len(function.kinds)
    if not function.required <= given <= most:
        wanted = str(most) if most == function.required else f"{function.required} to {most}"
        raise LanguageError(f"`{name}` takes {wanted} arguments, not {given}", usage)
    for argument, kind in zip(call.arguments, function.kinds, strict=False):
        if not isinstance(argument, str if kind is Word else kind):
            wanted = "a whole number" if kind is int else "the name of a table" if kind is Word else "a text in quotes"
            raise LanguageError(f"`{name}` takes {wanted}, not `{argument}`", usage)
        if kind is str and isinstance(argument, Word):
            raise LanguageError(f"`{name}` takes a text in quotes, not the name `{argument}`", f'"{argument}"')
    keywords = [keyword for keyword, _ in call.keywords]
    if sorted(keywords) != sorted(function.keywords):
        unknown = next((keyword for keyword in keywords if keyword not in function.keywords), None)
        needed = " and ".join(f"{keyword}=" for keyword in function.keywords)
        raise LanguageError(f"`{name}` " + (f"has no `{unknown}=`" if unknown else f"needs {needed}"), usage)
    for keyword, value in call.keywords:
        if not isinstance(value, str):
            named = "a column" if function.asks_tables else "a key"
            raise LanguageError(f"`{keyword}=` is the name of {named}, not `{value}`", usage)


FUNCTIONS: dict[str, Function] = {
    "basename": Function(
        usage="basename",
        doc="The last part of a path, of Windows or Unix.",
        example=r'"C:\Windows\cmd.exe" | basename',
        gives="cmd.exe",
        build=steps.plain(steps.basename),
    ),
    "count": Function(
        usage="count",
        doc="How many elements a list has; 1 for one value, 0 for nothing.",
        example='"a,b,c" | split(",") | count',
        gives="3",
        build=lambda: steps.count,
    ),
    "date": Function(
        usage='date[("form")]',
        doc="A time in UTC, written with %Y %m %d %H %M %S %y %j %b %B %a %A; what is no time is nothing.",
        example='"2026-03-10T09:14:02Z" | date("%d.%m.%Y %H:%M")',
        gives="10.03.2026 09:14",
        build=steps.date,
        kinds=(str,),
    ),
    "default": Function(
        usage='default("text")',
        doc="The text where there is nothing; `??` does the same for a whole alternative.",
        example='" " | default("none")',
        gives="none",
        build=steps.default,
        kinds=(str,),
        required=1,
    ),
    "defang": Function(
        usage="defang",
        doc="URLs that nothing makes a link of; a lone host, address or mail address as well.",
        example='"see https://evil.example/a.php" | defang',
        gives="see hxxps://evil[.]example/a.php",
        build=steps.bounded(webtext.defang),
    ),
    "domain": Function(
        usage="domain",
        doc="The domain of a URL, a mail address or a host's full name, in lower case; an IP address has none.",
        example='"https://user@Mail.Corp.example:8443/x" | domain',
        gives="mail.corp.example",
        build=steps.plain(webtext.domain),
    ),
    "duration": Function(
        usage="duration",
        doc="A number of seconds, or a text such as 90s, 15m, 2h5m, as a person says it: its two largest units.",
        example='"7500" | duration',
        gives="2 h 5 min",
        build=lambda: steps.duration,
    ),
    "first": Function(
        usage="first",
        doc="The first element of a list.",
        example='"a,b,c" | split(",") | first',
        gives="a",
        build=lambda: steps.first,
    ),
    "hash": Function(
        usage="hash[(digits)]",
        doc="The SHA-256 of the text in hex, or its first 8 to 64 digits.",
        example='"WKS-0421" | hash(12)',
        gives="648c1abf124c",
        build=steps.hashed,
        kinds=(int,),
    ),
    "join": Function(
        usage='join[("separator")]',
        doc='The elements of a list as one text, with ", " or the separator between them.',
        example='"a,b" | split(",") | join(" and ")',
        gives="a and b",
        build=steps.join,
        kinds=(str,),
    ),
    "json": Function(
        usage="json",
        doc="The value as compact JSON.",
        example='"a,b" | split(",") | json',
        gives='["a","b"]',
        build=lambda: steps.json,
    ),
    "last": Function(
        usage="last",
        doc="The last element of a list.",
        example='"arn:aws:s3:::invoices" | split(":") | last',
        gives="invoices",
        build=lambda: steps.last,
    ),
    "lookup": Function(
        usage="lookup(table, by=column, take=column)",
        doc="The cell of lookups/<table>.csv in the row whose `by` column is this text, whatever its case.",
        example='"wks-0421" | lookup(hosts, by=hostname, take=team) ?? "SOC L1"',
        gives="Payments",
        build=steps.lookup,
        kinds=(Word,),
        required=1,
        keywords=("by", "take"),
        asks_tables=True,
    ),
    "lower": Function(
        usage="lower",
        doc="The text in lower case.",
        example='"WKS-0421" | lower',
        gives="wks-0421",
        build=steps.plain(str.lower),
    ),
    "number": Function(
        usage="number",
        doc="The value as a number; what is none is nothing.",
        example='"7.50" | number',
        gives="7.5",
        build=lambda: number_of,
    ),
    "pick": Function(
        usage='pick("text", by=key, take=key)',
        doc='Of a list such as `[{"name": "env", "value": "prod"}]`, what the elements whose `by` is this text have at '
        "`take`, whatever its case: a list, as `[]` gives.",
        example='.tags | pick("env", by=name, take=value)',
        gives="prod",
        alert={"tags": [{"name": "team", "value": "SOC L1"}, {"name": "env", "value": "prod"}]},
        build=steps.pick,
        kinds=(str,),
        required=1,
        keywords=("by", "take"),
    ),
    "regex": Function(
        usage='regex("pattern"[, group])',
        doc="What an RE2 pattern finds in the first 4,096 characters: the group asked for, its first group, or all.",
        example=r'"user id=42 logged in" | regex("id=(\d+)")',
        gives="42",
        build=steps.regex,
        kinds=(str, int),
        required=1,
    ),
    "replace": Function(
        usage='replace("old", "new")',
        doc="The text with every `old` replaced; no pattern.",
        example='"a_b_c" | replace("_", " ")',
        gives="a b c",
        build=steps.replace,
        kinds=(str, str),
        required=2,
    ),
    "split": Function(
        usage='split("separator")',
        doc="A list of the parts of a text.",
        example='"a:b" | split(":") | json',
        gives='["a","b"]',
        build=steps.split,
        kinds=(str,),
        required=1,
    ),
    "strip_html": Function(
        usage="strip_html",
        doc="The text of an HTML page or fragment, as a reader sees it, without empty lines.",
        example='"<p>Ports 80 &amp; 443</p><script>x()</script>" | strip_html',
        gives="Ports 80 & 443",
        build=steps.bounded(webtext.strip_html),
    ),
    "time": Function(
        usage="time",
        doc="A time from ISO 8601 or an epoch of any unit; `not set`, as products write it, is nothing.",
        example='"1773134042" | time',
        gives="2026-03-10T09:14:02Z",
        build=lambda: time_of,
    ),
    "title": Function(
        usage="title",
        doc="Every word with a capital.",
        example='"high risk" | title',
        gives="High Risk",
        build=steps.plain(steps.title),
    ),
    "trim": Function(
        usage="trim",
        doc="Without blanks around it and without control characters.",
        example='"  a " | trim | json',
        gives='"a"',
        build=steps.plain(clean),
    ),
    "truncate": Function(
        usage="truncate(characters)",
        doc="At most so many characters; what is cut ends in `…`.",
        example='"Suspicious PowerShell" | truncate(12)',
        gives="Suspicious …",
        build=steps.truncate,
        kinds=(int,),
        required=1,
    ),
    "unique": Function(
        usage="unique",
        doc="A list with every element once.",
        example='"a,b,a" | split(",") | unique | join(",")',
        gives="a,b",
        build=lambda: steps.unique,
    ),
    "upper": Function(
        usage="upper",
        doc="The text in upper case.",
        example='"de" | upper',
        gives="DE",
        build=steps.plain(str.upper),
    ),
}
