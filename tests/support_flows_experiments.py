"""The recorded flows about what experiments assign: payloads, factors, targets, queues."""

from __future__ import annotations

from tests.support_flows_checks import STATUS, assert_marked, assigned, flags_of, points
from tests.support_replay import Session
from upgrade_client_lib.types import ExperimentType, LogInput, LogMetrics, Payload, PayloadType

WITHIN_PAYLOADS = {
    "wA": Payload(PayloadType.STRING, "pA"),
    "wB": Payload(PayloadType.JSON, '{"b": 1}'),
    "wC": None,
}


async def payload_types(session: Session) -> None:
    call, client = session.call, session.client("learner-payloads")
    await call(client.init)
    here = await assigned(session, client, "payloads", "p1")
    there = await assigned(session, client, "payloads", "p2")
    assert here.get_condition() == there.get_condition() == "jsonc"
    payload = here.get_payload()
    assert payload is not None
    assert payload == Payload(PayloadType.JSON, '{"title": "Hi", "n": 3}')
    assert payload.parse() == {"title": "Hi", "n": 3}
    assert there.get_payload() == Payload(PayloadType.STRING, "only at p2")

    marked = await call(here.mark_decision_point, STATUS.CONDITION_APPLIED)
    assert_marked(marked, here, "learner-payloads")
    failed = STATUS.CONDITION_FAILED_TO_APPLY
    await call(there.mark_decision_point, failed, client_error="variant not recognized")

    # That excluded the user from the experiment, so the client asks again, unbidden.
    assert await call(client.get_decision_point_assignment, "payloads", "p2") is None
    assert await call(client.get_decision_point_assignment, "payloads", "p1") is None
    banner = await assigned(session, client, "home", "banner")
    assert banner.get_condition() == "treatment"


async def factorial(session: Session) -> None:
    call, client = session.call, session.client("learner-factorial")
    await call(client.init)
    page = await assigned(session, client, "fact", "page")
    assert page.get_experiment_type() is ExperimentType.FACTORIAL
    assert page.get_condition() == "color=blue; shape=circle"
    assert page.get_payload() is None
    assert page.factors == ["color", "shape"]
    assert page.get_factor_level("color") == "blue"
    assert page.get_factor_level("shape") == "circle"
    assert page.get_factor_payload("color") == Payload(PayloadType.STRING, "#00f")
    assert page.get_factor_payload("shape") == Payload(PayloadType.STRING, '{"r": 3}')
    marked = await call(page.mark_decision_point, STATUS.CONDITION_APPLIED)
    assert_marked(marked, page, "learner-factorial")

    # A within-subjects one: factors turn with the conditions.
    first = await assigned(session, client, "factw", "page")
    assert first.get_condition() == "color=red; shape=circle"
    assert first.get_factor_level("shape") == "circle"
    marked = await call(first.mark_decision_point, STATUS.CONDITION_APPLIED, "f1")
    assert_marked(marked, first, "learner-factorial")
    second = await assigned(session, client, "factw", "page")
    assert second.get_condition() == "color=red; shape=square"
    assert second.get_factor_level("shape") == "square"
    assert second.get_factor_payload("shape") is None
    await call(client.get_all_experiment_conditions, ignore_cache=True)
    assert await assigned(session, client, "factw", "page") == second
    assert await assigned(session, client, "fact", "page") == page


async def empty_target(session: Session) -> None:
    call, client = session.call, session.client("learner-empty-target")
    await call(client.init)
    assignment = await assigned(session, client, "siteonly")
    assert assignment.get_condition() == "control"
    assert await assigned(session, client, "siteonly", None) == assignment
    marked = await call(
        client.mark_decision_point, "siteonly", "", "control", STATUS.CONDITION_APPLIED
    )
    assert_marked(marked, assignment, "learner-empty-target")


async def null_target_context(session: Session) -> None:
    call, client = session.call, session.client("learner-null-target", "null-app")
    await call(client.init)
    everywhere = await call(client.get_all_experiment_conditions)
    assert points(everywhere) == {("nullsite", ""), ("nullsite", "has-target")}
    with_target = await assigned(session, client, "nullsite", "has-target")
    without = await assigned(session, client, "nullsite", None)
    assert with_target.get_condition() == without.get_condition() == "treatment"
    assert without.get_payload() == Payload(PayloadType.STRING, "n-treatment")
    assert with_target.get_payload() is None
    for assignment in (with_target, without):
        marked = await call(assignment.mark_decision_point, STATUS.CONDITION_APPLIED)
        assert_marked(marked, assignment, "learner-null-target")


async def empty_context(session: Session) -> None:
    call, client = session.call, session.client("learner-empty", "empty-app")
    await call(client.init)
    assert await call(client.get_all_experiment_conditions) == []
    assert await call(client.get_decision_point_assignment, "home", "banner") is None
    assert await call(client.get_all_feature_flags) == []
    assert not await call(client.has_feature_flag, "NEW_DASHBOARD")


async def big_context(session: Session) -> None:
    call, client = session.call, session.client("learner-big", "big-app")
    await call(client.init)
    everywhere = await call(client.get_all_experiment_conditions)
    assert points(everywhere) == {(f"site{n // 10:02}", f"target{n:03}") for n in range(200)}
    for assignment in everywhere:
        number = int(assignment.target[-3:])
        wanted = {"control": f"control {number}", "treatment": f"treatment payload {number}"}
        text = wanted[assignment.get_condition()]
        assert assignment.get_payload() == Payload(PayloadType.STRING, text)
    assert await flags_of(session, client) == {f"BIG_FLAG_{n:03}" for n in range(200)}

    one = await assigned(session, client, "site11", "target118")
    assert one.get_condition() == "control"
    marked = await call(one.mark_decision_point, STATUS.CONDITION_APPLIED)
    assert_marked(marked, one, "learner-big")


async def within_subjects_ordered_round_robin(session: Session) -> None:
    await four_visits(session, "ordered-round-robin", ["wA", "wB", "wC", "wA", "wB"])


async def within_subjects_random(session: Session) -> None:
    await four_visits(session, "random", ["wA", "wB", "wB", "wB", "wB"])


async def within_subjects_random_round_robin(session: Session) -> None:
    await four_visits(session, "random-round-robin", ["wA", "wC", "wB", "wB", "wC"])


async def four_visits(session: Session, order: str, conditions: list[str]) -> None:
    """After each mark the cache has turned as the server has: asking it makes no difference."""
    user_id = f"learner-within-{order}"
    call, client = session.call, session.client(user_id)
    await call(client.init)
    for visit, condition in enumerate(conditions[:-1]):
        head = await assigned(session, client, "within", order)
        assert head.get_condition() == condition
        assert head.get_payload() == WITHIN_PAYLOADS[condition]
        marked = await call(head.mark_decision_point, STATUS.CONDITION_APPLIED, f"visit-{visit}")
        assert_marked(marked, head, user_id)

        metrics = LogMetrics({"totalTimeSeconds": 10 + visit})
        logged = await call(client.log, [LogInput(f"2026-11-20T08:0{visit}:00.000Z", metrics)])
        assert [record.data for record in logged] == [{"totalTimeSeconds": 10 + visit}]

        turned = await assigned(session, client, "within", order)
        await call(client.get_all_experiment_conditions, ignore_cache=True)
        assert await assigned(session, client, "within", order) == turned
        assert turned.get_condition() == conditions[visit + 1]


async def within_subjects_sister_point(session: Session) -> None:
    call, client = session.call, session.client("learner-sister")
    await call(client.init)
    here = await assigned(session, client, "within", "ordered-round-robin")
    there = await assigned(session, client, "within2", "ordered-round-robin")
    assert here.experiment_id == there.experiment_id
    marked = await call(here.mark_decision_point, STATUS.CONDITION_APPLIED, "v1")
    assert_marked(marked, here, "learner-sister")
    # Whether the sister point has turned depends on the server, so the client asks it, unbidden.
    assert await assigned(session, client, "within2", "ordered-round-robin") == there
    turned = await assigned(session, client, "within", "ordered-round-robin")
    assert [here.get_condition(), turned.get_condition()] == ["wA", "wB"]
