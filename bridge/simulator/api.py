"""The REST API as one function from a request to an answer: who asks, what for, and which API answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from bridge.simulator import answers
from bridge.simulator.access import User, authenticate
from bridge.simulator.aggregate import answer_stats_call
from bridge.simulator.answers import Answer, Refused
from bridge.simulator.attachments import answer_attachment_call
from bridge.simulator.batch import answer_batch_call
from bridge.simulator.elastic import answer_health_call, answer_observables_call
from bridge.simulator.enrichment import answer_enrichment_call
from bridge.simulator.events import answer_event_call
from bridge.simulator.imports import answer_import_call
from bridge.simulator.oauth import answer_token_request
from bridge.simulator.rates import API_NAMES
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator
from bridge.simulator.table_api import answer_table_call

AnswerCall = Callable[[Simulator, ApiRequest, User, datetime], Answer]

APIS: Mapping[str, AnswerCall] = {
    "table": answer_table_call,
    "import": answer_import_call,
    "stats": answer_stats_call,
    "attachment": answer_attachment_call,
    "event": answer_event_call,
    "enrichment": answer_enrichment_call,
    "elastic_health": answer_health_call,
    "elastic_observables": answer_observables_call,
}


def serve(simulator: Simulator, request: ApiRequest, *, now: datetime) -> Answer:
    """Answer one call. Everything it reads and changes is one step for every other thread."""
    with simulator.lock:
        try:
            if request.place.api == "token":
                return answer_token_request(simulator, request, now=now)
            if request.place.api not in (*APIS, "batch"):
                raise answers.no_such_resource(simulator.switches.unknown_uri_status)
            user = authenticate(simulator.access, request, now=now)
            return _within_limits(simulator, request, user, now=now)
        except Refused as refusal:
            return refusal.answer()


def _within_limits(simulator: Simulator, request: ApiRequest, user: User, *, now: datetime) -> Answer:
    """The answer, with the headers of the rate-limit rule that covers the call, if one does [OFFICIAL]."""
    verdict = simulator.rates.judge(request.place.api, user, now=now)
    if verdict is None:
        return answer_as(simulator, request, user, now=now)
    if verdict.retry_after:
        rule = verdict.rule
        api = API_NAMES.get(request.place.api, "REST API")
        raise answers.rate_limited(verdict.retry_after, verdict.reset, limit=rule.limit, rule=rule.sys_id, api=api)
    answer = answer_as(simulator, request, user, now=now)
    return replace(answer, headers={**answer.headers, **verdict.headers})


def answer_as(simulator: Simulator, request: ApiRequest, user: User, *, now: datetime) -> Answer:
    """What `user` is answered: a refusal is an answer too."""
    try:
        if request.place.api == "batch":
            return answer_batch_call(simulator, request, lambda item: answer_item(simulator, item, user, now=now))
        return APIS[request.place.api](simulator, request, user, now)
    except Refused as refusal:
        return refusal.answer()


def answer_item(simulator: Simulator, request: ApiRequest, user: User, *, now: datetime) -> Answer:
    """What a batch's item is answered: a batch in a batch is no resource."""
    if request.place.api not in APIS:
        return answers.no_such_resource(simulator.switches.unknown_uri_status).answer()
    return answer_as(simulator, request, user, now=now)
