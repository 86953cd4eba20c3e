"""Text from the web made fit for people: its domain, defanged, without HTML. Pure, and linear in the text."""

from __future__ import annotations

import html
import re

# What names a host: after the scheme and the user of a URL, after the @ of a mail address, before port and path.
_HOST = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://|//|mailto:)?(?:[^/?#\s]*@)?([^/?#\s:@]+)")
_DOMAIN = re.compile(r"(?:[\w-]+\.)+[^\W\d][\w-]*\.?")  # an address ends in a number, a domain never does
DOMAIN_CHARS_MAX = 253
URL_CHARS_MAX = 4096  # of a URL, what is looked at for its domain


def domain(text: str) -> str | None:
    """The domain of a URL, a mail address or a host's full name, in lower case; None for an IP address or one word."""
    match = _HOST.match(text[:URL_CHARS_MAX].strip())
    if match is None or len(match[1]) > DOMAIN_CHARS_MAX or _DOMAIN.fullmatch(match[1]) is None:
        return None
    return match[1].lower().rstrip(".")


_LINK = re.compile(r"\b(h)tt(ps?://)([^\s/?#<>\"']*)|\b(f)t(ps?://)([^\s/?#<>\"']*)", re.IGNORECASE)
_DOT = re.compile(r"(?<!\[)\.(?!\])")


def defang(text: str) -> str:
    """Every URL so that nothing makes a link of it: `hxxps://evil[.]example/a.php`. A lone host or mail address too."""
    found = _LINK.sub(_without_fangs, text)
    if found == text and text and not any(character.isspace() for character in text):
        host, slash, rest = text.partition("/")
        return _DOT.sub("[.]", host) + slash + rest
    return found


def _without_fangs(match: re.Match[str]) -> str:
    if match[1]:
        return f"{match[1]}xx{match[2]}{_DOT.sub('[.]', match[3])}"
    return f"{match[4]}x{match[5]}{_DOT.sub('[.]', match[6])}"


_MARKUP = re.compile(r"<!--|-->|<[!?/]?([A-Za-z][A-Za-z0-9]*)[^<>]*>")
_HIDING = ("script", "style", "head")
_BREAKING = "blockquote br dd div dl dt h1 h2 h3 h4 h5 h6 hr li ol p pre table tr ul"
_INSTEAD = {**dict.fromkeys(_BREAKING.split(), "\n"), "td": " ", "th": " ", "": "-->"}  # of a tag; else nothing


def strip_html(text: str) -> str:
    """What a reader sees: no tags, comments, scripts and styles; entities as their characters; no empty lines."""
    if "<" not in text and "&" not in text:
        return text
    parts = []
    position, hidden = 0, ""  # hidden: the tag, or the comment, whose end is waited for
    for match in _MARKUP.finditer(text):
        markup, tag = match.group(), (match[1] or "").lower()
        if not hidden:
            parts.append(text[position : match.start()])
            if markup == "<!--" or (tag in _HIDING and markup[1] != "/"):
                hidden = tag or markup
            else:
                parts.append(_INSTEAD.get(tag, ""))
        elif markup == "-->" if hidden == "<!--" else tag == hidden and markup.startswith("</"):
            hidden = ""
        position = match.end()
    if not hidden:
        parts.append(text[position:])
    lines = (" ".join(line.split()) for line in _unescaped("".join(parts)).split("\n"))
    return "\n".join(line for line in lines if line)


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character's number of more than 4,300 digits
        return text
