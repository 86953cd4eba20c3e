"""From the text of bridge.yaml to Settings. Its vocabulary stands in literal tables; the order follows the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bridge.errors import Misconfigured, Problem
from bridge.settings import (
    ATTENTION_AFTER_DEFAULT,
    BODIES_KEPT_DEFAULT,
    BODIES_KEPT_LEAST,
    LOG_KEPT_DEFAULT,
    LOG_KEPT_LEAST,
    SERVER_THREADS_DEFAULT,
    Attention,
    Reload,
    Retention,
    Settings,
)
from bridge.settings.configuration import configuration_of
from bridge.settings.instance import instance_of, proxy_of
from bridge.settings.log import anchors_of
from bridge.settings.references import files_of
from bridge.settings.section import NAME, Section
from bridge.settings.sources import source_of
from bridge.settings.targets import refuse_late_commits, refuse_shared_tables, target_of
from bridge.yamlfile import YamlFile, load_yaml

SERVER_THREADS_MAX = 512

T = TypeVar("T")


def load(path: Path) -> Settings:
    settings, problems = read(path)
    if problems:
        raise Misconfigured(problems)
    return settings


def read(path: Path) -> tuple[Settings, list[Problem]]:
    """The settings as far as they can be made out, and what is wrong. Raises Misconfigured for what is no YAML map."""
    try:
        path.stat()
    except FileNotFoundError as error:
        hint = "name it with --config or $BRIDGE_CONFIG, or make one with `bridge init`"
        raise Misconfigured([Problem(str(path), 0, 0, "there is no such file", hint)]) from error
    return read_file(load_yaml(path), path)


def read_file(file: YamlFile, path: Path) -> tuple[Settings, list[Problem]]:
    """As `read`, of what would stand at `path`."""
    problems: list[Problem] = []
    if not isinstance(file.value, dict):
        raise Misconfigured(
            [file.problem((), "must hold `key: value` lines", "`bridge init` writes one to start from")]
        )
    settings = _settings(Section(file, (), problems), path)
    settings = replace(settings, configuration=configuration_of(file.value))
    return settings, list(dict.fromkeys(problems))


def _settings(root: Section, path: Path) -> Settings:
    folder = path.absolute().parent
    database = _database(root, folder)
    mappings = root.section("mappings")
    mappings_path = folder / mappings.text("path", "mappings")
    reload = Reload(mappings.word("reload", tuple(Reload), Reload.AUTO))
    mappings.finish()
    server = root.section("server")
    threads = server.integer("threads", SERVER_THREADS_DEFAULT, least=1, most=SERVER_THREADS_MAX)
    server_proxy = proxy_of(server, folder)
    server.finish()
    log = root.section("log")
    signing_keys = files_of(log, "signing_key", folder)
    anchors = anchors_of(log, folder)
    log.finish()
    instances = _named(root, "instances", lambda name, section: instance_of(name, section, folder))
    targets = _named(root, "targets", lambda name, section: target_of(name, section, root))
    refuse_late_commits(targets, instances, root)
    refuse_shared_tables(targets, instances, root)
    sources = _named(root, "sources", lambda name, section: source_of(name, section, folder))
    attention = _attention(root)
    for source in sources.values():
        if source.expect_every is not None and attention is None:
            place = ("sources", source.name, "expect_every")
            root.refuse(place, "`expect_every` goes with `attention`, which says who is told", "add that", at_key=True)
    retention = _retention(root)
    root.finish()
    return Settings(
        file=path,
        database=database,
        mappings_path=mappings_path,
        reload=reload,
        server_threads=threads,
        server_proxy=server_proxy,
        signing_keys=signing_keys,
        instances=instances,
        targets=targets,
        sources=sources,
        attention=attention,
        anchors=anchors,
        retention=retention,
    )


def _attention(root: Section) -> Attention | None:
    if not root.has("attention"):
        return None
    section = root.section("attention")
    attention = Attention(
        target=section.reference("target", root, "targets"),
        assignment_group=section.text("assignment_group", ""),
        after=section.duration("after", ATTENTION_AFTER_DEFAULT, least=timedelta(0)),
    )
    section.finish()
    return attention


def _retention(root: Section) -> Retention:
    section = root.section("retention")
    bodies = section.duration("deliveries", BODIES_KEPT_DEFAULT, least=BODIES_KEPT_LEAST)
    log = section.duration("log", LOG_KEPT_DEFAULT, least=LOG_KEPT_LEAST)
    section.finish()
    if log < bodies:
        place = "log" if section.has("log") else "deliveries"
        said = "the log must be kept as long as the deliveries that it tells of"
        section.refuse(place, said, "a longer `log`, or a shorter `deliveries`")
    return Retention(deliveries=bodies, log=log)


def _named(root: Section, key: str, build: Callable[[str, Section], T]) -> dict[str, T]:
    """A section whose keys are names that the file gives: each is built, each mistake is kept."""
    section = root.section(key)
    built = {}
    for name in section.names():
        if NAME.fullmatch(name) is None:
            hint = "letters, digits, `.`, `-` and `_`, at most 64, the first a letter or digit"
            section.refuse(name, f"`{name}` cannot be a name: it stands in URLs and logs", hint, at_key=True)
        built[name] = build(name, section.section(name, required=True))
    return built


def _database(root: Section, folder: Path) -> str:
    """The SQLAlchemy URL. No mistake in it is quoted back: it may hold a password."""
    text = root.text("database", "sqlite:///var/bridge.db")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        root.refuse("database", "is not a database URL", "sqlite:///var/bridge.db or postgresql://user@host/db")
        return text
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:":
            root.refuse("database", "names no file: alerts must outlive the process", "sqlite:///var/bridge.db")
        if url.host or url.query:
            root.refuse("database", "must be sqlite:/// and a path, nothing more", "sqlite:///var/bridge.db")
        return f"sqlite:///{folder / (url.database or '')}"
    if url.drivername != "postgresql":
        hint = "sqlite:///var/bridge.db or postgresql://user@host/db"
        root.refuse("database", f"`{url.drivername}` is not a database we can use", hint)
    elif not url.database:
        root.refuse("database", "names no database", "postgresql://user@host/db")
    if url.password or "password" in url.query:
        hint = "leave it out here; set $PGPASSWORD, or write it to ~/.pgpass or the file that $PGPASSFILE names"
        root.refuse("database", "holds a password: secrets are only ever referred to", hint)
    return text
