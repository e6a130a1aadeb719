"""What the page shows of a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import urlencode

from .._definitions import Experiment, FeatureFlag, Segment
from .._engine import Explanation, ServerState, User, explain, flags_on
from .._http import Api
from . import faults
from .markup import Html, element, joined, void_element
from .style import STYLE

_USERS = 20
_REQUESTS = 20
_QUEUE = 5


def document(*children: object) -> str:
    """Return a whole page."""
    head = element(
        "head",
        void_element("meta", charset="utf-8"),
        void_element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "LocalUpgrade"),
        Html(f"<style>{STYLE}</style>"),
    )
    return "<!DOCTYPE html>\n" + element("html", head, element("body", *children), lang="en")


def page(api: Api, user: str | None) -> str:
    """Return the page; ``user`` is one who is looked up, known or not."""
    with api.lock:
        state = api.state
        return document(
            element("h1", f"LocalUpgrade {api.version}"),
            element(
                "p",
                "An UpGrade server for tests. ",
                element("a", "Show it anew", href="/" if user is None else f"/?{_query(user)}"),
                class_="note",
            ),
            _headed("experiments", "Experiments", *_experiments(state)),
            _headed("flags", "Feature flags", _flags(state)),
            _headed("users", "Users", *_users(state, user)),
            _headed("requests", "Last requests", _requests(api)),
            _headed("faults", "Faults", *_faults(api)),
        )


def _query(user: str) -> str:
    return urlencode({"user": user})


def _headed(name: str, title: str, *children: object) -> Html:
    return element("section", element("h2", title), *children, id=name)


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]], empty: str) -> Html:
    body = [
        element(
            "tr",
            *(cell if _is_cell(cell) else element("td", cell) for cell in row),
        )
        for row in rows
    ]
    if not body:
        return element("p", empty, class_="note")
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    return element("table", element("thead", head), element("tbody", *body))


def _is_cell(value: object) -> bool:
    return isinstance(value, Html) and value.startswith("<td")


# ---- Definitions ----


def _experiments(state: ServerState) -> Iterator[Html]:
    if not state.catalogue.experiments:
        yield element("p", "There is none.", class_="note")
    for experiment in state.catalogue.experiments.values():
        yield element(
            "section",
            element("h3", experiment.name),
            element("p", _about(experiment), class_="note"),
            _conditions(state, experiment),
            class_="card",
        )


def _about(experiment: Experiment) -> str:
    facts = [f"in {experiment.context}", experiment.state, f"by {_unit(experiment)}"]
    facts += ["factorial"] * experiment.factorial + ["adaptive"] * experiment.adaptive
    points = ", ".join(_point(point.site, point.target) for point in experiment.points)
    return f"{', '.join(facts)}; at {points}"


def _unit(experiment: Experiment) -> str:
    more = experiment.group_type or experiment.order
    return experiment.unit if more is None else f"{experiment.unit} ({more})"


def _point(site: str, target: str | None) -> str:
    return f"{site}/{target}" if target else site


def _conditions(state: ServerState, experiment: Experiment) -> Html:
    enrolled = Counter(
        enrolment.condition
        for (experiment_id, _), enrolment in state.store.enrolments.items()
        if experiment_id == experiment.id
    )
    total = sum(enrolled.values())
    rows = [
        [
            condition.code,
            _bar(condition.weight / 100, "bar"),
            element("td", f"{condition.weight:.4g} %", class_="number"),
            _bar(enrolled[condition.code] / (total or 1), "bar enrolled"),
            element("td", str(enrolled[condition.code]), class_="number"),
        ]
        for condition in experiment.conditions
    ]
    return _table(["condition", "weight", "", "users enrolled", ""], rows, "It has no condition.")


def _bar(share: float, kind: str) -> Html:
    percent = f"{100 * share:.4g}%"
    return element(
        "svg", element("rect", width=percent, height="100%"), class_=kind, role="img",
        aria_label=percent,
    )  # fmt: skip


def _flags(state: ServerState) -> Html:
    rows = [
        [flag.key, flag.context, "on" if flag.enabled else "off", _for_whom(flag)]
        for flag in state.catalogue.flags.values()
    ]
    return _table(["flag", "context", "status", "for whom"], rows, "There is none.")


def _for_whom(flag: FeatureFlag) -> str:
    included = "everybody" if flag.filter.include_all else _segment(flag.filter.include)
    excluded = _segment(flag.filter.exclude)
    return f"{included or 'nobody'}, but for {excluded}" if excluded else included or "nobody"


def _segment(segment: Segment) -> str:
    groups = [f"{kind} {name}" for kind, name in sorted(segment.groups)]
    return ", ".join([*sorted(segment.users), *groups])


# ---- Users ----


def _users(state: ServerState, looked_up: str | None) -> Iterator[Html]:
    yield element(
        "form",
        element(
            "label",
            "Look a user up, known or not",
            void_element("input", name="user", value=looked_up, required=True),
        ),
        element("button", "Look up"),
        action="/#users",
    )
    if looked_up is not None:
        yield _user(state, looked_up, is_open=True)
    last = list(state.store.users)[: -_USERS - 1 : -1]
    yield from (_user(state, user) for user in last if user != looked_up)
    more = len(state.store.users) - len(last)
    if more:
        yield element("p", f"And {more:,} users before these.", class_="note")
    elif not state.store.users:
        yield element("p", "Nobody was initialised yet.", class_="note")


def _user(state: ServerState, user_id: str, *, is_open: bool = False) -> Html:
    stored = state.store.user(user_id)
    user = User(user_id) if stored is None else stored
    points: dict[tuple[str, str], dict[str, None]] = {}
    for experiment in state.catalogue.experiments.values():
        for point in experiment.points:
            points.setdefault((point.site, point.target or ""), {})[experiment.context] = None
    rows = [
        _explained(explain(state, user_id, *point, context), context if len(contexts) > 1 else "")
        for point, contexts in points.items()
        for context in contexts
    ]
    return element(
        "details",
        element("summary", f"{user_id}: {_groups(user)}"),
        element("p", f"Feature flags: {', '.join(_flags_of(state, user)) or 'none'}"),
        _table(["decision point", "gets", "why"], rows, "There is no decision point."),
        open=is_open,
    )


def _explained(explanation: Explanation, context: str) -> list[object]:
    point: object = _point(explanation.site, explanation.target)
    if context:
        point = joined(point, element("p", f"in {context}", class_="note"))
    gets: object = explanation.condition or "no condition"
    if len(explanation.queue) > 1:
        ahead = ", ".join(explanation.queue[1:_QUEUE])
        gets = joined(gets, element("p", f"then {ahead} …", class_="note"))
    why = element("ul", *(element("li", step) for step in explanation.steps))
    return [point, gets, why]


def _groups(user: User) -> str:
    groups = [f"{kind} {', '.join(names)}" for kind, names in (user.group or {}).items() if names]
    working = [f"works in {kind} {name}" for kind, name in (user.working_group or {}).items()]
    return "; ".join([*groups, *working]) or "no groups"


def _flags_of(state: ServerState, user: User) -> list[str]:
    return [
        key
        for context in state.catalogue.contexts
        for key in flags_on(state, user.id, user.groups, context)
    ]


# ---- What happened, and what shall ----


def _requests(api: Api) -> Html:
    rows = [
        [request.endpoint, request.user, str(request.status)]
        for request in list(api.requests)[: -_REQUESTS - 1 : -1]
    ]
    return _table(["endpoint", "user", "status"], rows, "There was none.")


def _faults(api: Api) -> Iterator[Html]:
    columns = ["what happens", "endpoint", "user", "how often"]
    yield _table(columns, faults.descriptions(api), "None is switched on.")
    yield element(
        "form",
        _choice("what happens", "kind", faults.KINDS.items()),
        _choice("endpoint", "endpoint", [("", "all"), *((name, name) for name in api.endpoints)]),
        _input("user (empty: all)", "user"),
        _input("seconds late", "seconds", type="number", min="0", step="any", value="1"),
        _input("status", "status", type="number", min="200", max="999", value="503"),
        _input("how often (empty: always)", "times", type="number", min="1"),
        element("button", "Switch on"),
        method="post",
        action="/faults",
    )
    yield element("form", element("button", "Switch all off"), method="post", action="/faults/off")


def _choice(label: str, name: str, options: Iterable[tuple[str, str]]) -> Html:
    chosen = (element("option", text, value=value) for value, text in options)
    return element("label", label, element("select", *chosen, name=name))


def _input(label: str, name: str, **attributes: object) -> Html:
    return element("label", label, void_element("input", name=name, **attributes))
