"""Whether settings and mappings fit together: a route must name a target, and one of the source's own tenant."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType

from bridge.errors import Problem
from bridge.mapping.compile import Mapping, Route
from bridge.settings import Settings
from bridge.yamlfile import type_path


def route_problems(settings: Settings, mappings: MappingType[str, Mapping]) -> list[Problem]:
    """Of the sources whose mapping is among `mappings`."""
    found = []
    for source in settings.sources.values():
        mapping = mappings.get(source.mapping)
        for route in mapping.routes if mapping is not None else ():
            if mapping is None or route.target is None:
                continue
            target = settings.targets.get(route.target)
            if target is None:
                known = ", ".join(settings.targets) or "none"
                hint = f"add it under `targets` of {settings.file}, or route to a known one: {known}"
                found.append(mapping.yaml.problem(_place(route), f"there is no target `{route.target}`", hint))
            elif target.tenant != source.tenant:
                message = (
                    f"source `{source.name}` is of tenant `{source.tenant}`, "
                    f"target `{route.target}` of `{target.tenant}`: tenants never meet"
                )
                found.append(mapping.yaml.problem(_place(route), message, "route to a target of the source's tenant"))
    return list(dict.fromkeys(found))  # once, though several sources use the mapping


def _place(route: Route) -> type_path:
    """Where the route stands in the mapping's own file; of an included one, the nearest that is there."""
    index = re.search(r"\d+", route.place)
    return ("route", int(index[0]), "to") if index else ("route",)
