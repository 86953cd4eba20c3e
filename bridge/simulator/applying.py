"""Putting a scenario into force: at the start, and again at every POST /simulator/scenario."""

from __future__ import annotations

from datetime import timedelta

from bridge.simulator.rates import Rates
from bridge.simulator.scenario import Scenario
from bridge.simulator.scenario_access import AccessGiven
from bridge.simulator.state import Simulator


def apply_scenario(simulator: Simulator, scenario: Scenario) -> None:
    """What the scenario does not name stays as it is; faults and staging tables are added to those that are there."""
    with simulator.lock:
        simulator.faults.add(*scenario.faults)
        for name, value in scenario.switches.items():
            setattr(simulator.switches, name, value)
        _apply_access(simulator, scenario.access)
        for table, names in scenario.columns.items():
            simulator.add_columns(table, names)
        simulator.rows.unique |= scenario.unique
        simulator.rows.mandatory |= scenario.mandatory
        for staging in scenario.staging.values():
            simulator.add_staging(staging)
        if scenario.enrichment is not None:
            simulator.enrichment = scenario.enrichment
        if scenario.rate_limits is not None:
            simulator.rates = Rates(scenario.rate_limits)
        if scenario.clock_offset is not None:
            simulator.offset = timedelta(seconds=scenario.clock_offset)
        if scenario.missing is not None:
            simulator.missing = scenario.missing
        if scenario.closed is not None:
            simulator.closed = scenario.closed


def _apply_access(simulator: Simulator, given: AccessGiven) -> None:
    """Users and ACLs are added to those there are; keys, clients and certificates are replaced: so they are revoked."""
    access = simulator.access
    for user in given.users or ():
        simulator.add_user(user)
    simulator.needs |= given.acl or {}
    if given.api_keys is not None:
        access.api_keys = dict(given.api_keys)
    if given.clients is not None:
        access.clients = dict(given.clients)
    if given.policies is not None:
        access.policies = dict(given.policies)
    if given.groups is not None:
        access.groups = dict(given.groups)
    if given.release is not None:
        access.release = given.release
    for name, value in given.flags.items():
        setattr(access, name, value)
    if given.certificates is not None:
        access.certificates = dict(given.certificates)
