"""From the text of bridge.yaml to the anchors of the correlation log."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from bridge.settings import AnchorFile, AnchorSyslog
from bridge.settings.instance import is_host
from bridge.settings.section import Section

PORTS = {"udp": 514, "tcp": 514, "tls": 6514}  # RFC 5426, RFC 6587, RFC 5425
EXAMPLE = "udp://host:514, tcp://host:514, or tcp://host:6514 with tls: true"
KINDS = "{file: var/anchors.log} or {syslog: tcp://host:6514, tls: true}"


def anchors_of(log: Section, folder: Path) -> tuple[AnchorFile | AnchorSyslog, ...]:
    anchors: dict[str, AnchorFile | AnchorSyslog] = {}
    for section in log.sections("anchors"):
        anchor = _anchor(section, folder)
        if anchor is not None and anchor.name in anchors:
            section.refuse_whole("this anchor stands here twice", "once is enough: remove one")
        elif anchor is not None:
            anchors[anchor.name] = anchor
    if anchors and not log.has("signing_key"):
        hint = "add that: an anchor keeps signed checkpoints"
        log.refuse("anchors", "`anchors` goes with `signing_key`", hint, at_key=True)
    return tuple(anchors.values())


def _anchor(section: Section, folder: Path) -> AnchorFile | AnchorSyslog | None:
    is_file, is_syslog = section.has("file"), section.has("syslog")
    if is_file and is_syslog:
        section.refuse("syslog", "an anchor is a file or a syslog collector, not both", "write two", at_key=True)
        return None
    if not is_file and not is_syslog:
        section.refuse_whole("is no anchor that we know", KINDS)
        return None
    anchor = _file(section, folder) if is_file else _syslog(section, folder)
    section.finish()
    return anchor


def _file(section: Section, folder: Path) -> AnchorFile:
    written = section.text("file")
    return AnchorFile(name=f"file:{written}", path=folder / written)


def _syslog(section: Section, folder: Path) -> AnchorSyslog:
    scheme, host, port = _address(section)
    if section.switch("tls"):
        if scheme == "udp":
            section.refuse("tls", "goes with tcp", "syslog: tcp://host:6514", at_key=True)
        scheme = "tls"
    ca = folder / section.text("ca") if section.has("ca") else None
    if ca is not None and scheme != "tls":
        section.refuse("ca", "goes with `tls: true`", "without TLS nothing is verified", at_key=True)
    port = port or PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    return AnchorSyslog(name=f"syslog:{shown}:{port}", host=host, port=port, transport=scheme, ca=ca)


def _address(section: Section) -> tuple[str, str, int | None]:
    """(udp or tcp, host, port)"""
    text = section.text("syslog")
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        url, host, port = urlsplit(""), "", None
    if url.scheme in ("tls", "tcps", "ssl"):
        section.refuse("syslog", f"`{url.scheme}` is written as tcp with `tls: true`", EXAMPLE)
    elif url.scheme not in ("udp", "tcp"):
        section.refuse("syslog", "is not the address of a syslog collector", EXAMPLE)
    elif "@" in url.netloc or url.path not in ("", "/") or "?" in text or "#" in text:
        section.refuse("syslog", "must end after the port: syslog has no user and no path", EXAMPLE)
    elif not is_host(host) or port == 0 or any(not "!" <= sign <= "~" for sign in text):
        section.refuse("syslog", "names no host that can be reached", EXAMPLE)
    else:
        return url.scheme, host, port
    return "tcp", "", None
