"""LocalUpgrade: an UpGrade server in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from random import Random
from threading import Lock

import attrs

from ._definitions import (
    ENROLLING,
    INDIVIDUAL,
    METRIC_SEPARATOR,
    Catalogue,
    Experiment,
    Export,
    Factors,
    FeatureFlag,
    Groups,
    Metric,
    Payloads,
    PointKeys,
    SegmentReader,
    Weights,
    build_experiment,
    build_filter,
    build_segment,
    check_experiment,
    check_text,
    read_experiments,
    read_flags,
    read_metrics,
    stable_id,
)
from ._engine import Explanation, ServerState, Store, explain
from ._http import Api, LocalTransport, Report, SocketServer, TokenCheck
from ._outages import Outages
from ._page import Page

DEFAULT_CONTEXT = "my-app"
"""The context of experiments and flags that name none."""

_VERSIONS = {"6.5": "6.5.0", "6.7": "6.7.0"}


class LocalUpgrade(Outages):
    """An UpGrade server in this process, which answers as the real one does.

    It starts empty. Add experiments, feature flags and metrics, and let clients reach it through
    :attr:`transport`, or over a socket through :meth:`serve`.

    >>> local = LocalUpgrade()
    >>> local.experiment("home", "banner", conditions={"control": 50, "treatment": 50})
    >>> client = UpgradeClient("user", "http://upgrade.local", "my-app", transport=local.transport)

    The same definitions give the same user the same condition in every run. Everything may be
    called from several threads.

    ``server`` is which UpGrade it stands in for, "6.5" or "6.7"; ``contexts`` are those it knows
    without experiments. With ``token_secret`` and ``api_key`` it wants bearer tokens, signed with
    that secret for that key; :attr:`token` is one. With ``adaptive=False`` it refuses rewards, as
    a server does whose adaptive experiments are switched off.

    With ``strict=True``, names that it does not know are errors where a real server says nothing:
    a mark of an unknown decision point and a logged metric that no experiment queries get status
    400, and so do unknown contexts and conditions. The message names the nearest known one.
    """

    def __init__(
        self,
        *,
        server: str = "6.5",
        contexts: Iterable[str] = (DEFAULT_CONTEXT,),
        token_secret: str | None = None,
        api_key: str | None = None,
        adaptive: bool = True,
        strict: bool = False,
    ) -> None:
        if server not in _VERSIONS:
            raise ValueError(f"server {server!r} is not one of {', '.join(_VERSIONS)}")
        if (token_secret is None) != (api_key is None):
            raise ValueError("token_secret and api_key are given together or not at all")
        if isinstance(contexts, str):
            raise TypeError(f"contexts must be a list of names, not the string {contexts!r}")
        is_6_7 = server == "6.7"
        tokens = None
        if token_secret is not None and api_key is not None:
            tokens = TokenCheck(token_secret, api_key)
        self._catalogue = Catalogue(null_is_empty=is_6_7)
        self._state = ServerState(self._catalogue, Store(), is_6_7, adaptive, strict, Random(0))
        self._api = Api(self._state, _VERSIONS[server], tokens)
        self._servers: list[SocketServer] = []
        # Not the lock of the calls: ``down`` waits for those that are being answered.
        self._serving_lock = Lock()
        self._transport = LocalTransport(self._api)
        for context in contexts:
            self.context(context)

    def __repr__(self) -> str:
        experiments, flags = len(self.experiments), len(self.flags)
        return f"<LocalUpgrade {self._api.version}, experiments={experiments}, flags={flags}>"

    @classmethod
    def from_export(
        cls,
        experiments: Export,
        flags: Export | None = None,
        *,
        segments: Export | None = None,
        server: str = "6.5",
        strict: bool = False,
    ) -> LocalUpgrade:
        """Make a server of what UpGrade's web page exported: parsed JSON, or paths of the files.

        >>> local = LocalUpgrade.from_export("experiments.json", "flags.json")

        It knows the contexts, experiments, flags and queried metrics of these exports, and
        nothing else. Where their lists name segments, whose members the web page leaves out of
        them, give the export of the segments as ``segments``.

        A ValueError says which experiment and field it cannot run. Only the arguments name files:
        a path inside an export is not read.
        """
        reader = SegmentReader(segments)
        local = cls(server=server, contexts=(), strict=strict)
        for experiment in read_experiments(experiments, reader):
            local._catalogue.add_experiment(experiment)
        for metric in read_metrics(experiments):
            local._catalogue.metrics[metric.key] = metric
        for flag in read_flags(flags, reader) if flags is not None else ():
            local._catalogue.add_flag(flag)
        return local

    # What the server has

    def context(self, name: str, *, group_types: Iterable[str] | None = None) -> None:
        """Make a context known. With ``group_types``, its group experiments must be of one."""
        if isinstance(group_types, str):
            raise TypeError(f"group_types must be a list, not the string {group_types!r}")
        check_text("the name of a context", name)
        with self._api.lock:
            self._catalogue.add_context(name, group_types)

    def experiment(
        self,
        site: str,
        target: str | None = "",
        *,
        conditions: Weights | None = None,
        payloads: Payloads | None = None,
        name: str | None = None,
        context: str = DEFAULT_CONTEXT,
        unit: str = INDIVIDUAL,
        group_type: str | None = None,
        order: str | None = None,
        points: PointKeys = (),
        factors: Factors | None = None,
        state: str = ENROLLING,
        adaptive: bool = False,
        include: Groups | None = None,
        include_users: Iterable[str] = (),
        exclude: Groups | None = None,
        exclude_users: Iterable[str] = (),
        id: str | None = None,
    ) -> Experiment:
        """Add an experiment at a decision point, and give it back.

        ``conditions`` are weights by condition code, any positive numbers, or a list of codes of
        equal weight. ``payloads`` are strings, or what is to be sent as JSON, by condition code.

        >>> local.experiment(
        ...     "home",
        ...     "banner",
        ...     conditions={"control": 50, "treatment": 50},
        ...     payloads={"treatment": "Welcome back!"},
        ... )

        ``points`` are further decision points, as (site, target) pairs; a dictionary of them gives
        each its own payloads. ``unit`` is "individual", "group" (with the ``group_type`` whose
        working group decides) or "within-subjects" (with an ``order``: "random", the default,
        "ordered round robin" or "random round robin"). ``factors`` make it factorial: levels by
        factor, as a list or with their payloads; its conditions are then all combinations, such as
        "color=red; shape=circle", or those of them that ``conditions`` names.

        Everybody may enter whom ``exclude`` (group ids by group type) and ``exclude_users`` leave;
        where ``include`` or ``include_users`` is given, only those. Experiments that share a
        decision point form a pool, of which each user enters one. ``name`` and ``id`` are made up
        from the decision point and the context where they are not given.

        A ValueError names the experiment and the field that does not add up.
        """
        with self._api.lock:
            experiment = build_experiment(
                site,
                target,
                conditions=conditions,
                payloads=payloads or {},
                name=name,
                context=context,
                unit=unit,
                group_type=group_type,
                order=order,
                points=points,
                factors=factors or {},
                state=state,
                adaptive=adaptive,
                filter=build_filter(include, include_users, exclude, exclude_users),
                id=id,
                names=[other.name for other in self._catalogue.in_context(context)],
            )
            self._catalogue.add_experiment(experiment)
        return experiment

    def set_state(self, experiment: Experiment, state: str) -> Experiment:
        """Move an experiment to another state, such as "enrollmentComplete"; give it anew."""
        with self._api.lock:
            known = self._catalogue.experiments.get(experiment.id)
            if known is None:
                raise ValueError(f"experiment {experiment.name!r} is not one of this server's")
            changed = check_experiment(attrs.evolve(known, state=state))
            self._catalogue.experiments[experiment.id] = changed
        return changed

    def flag(
        self,
        key: str,
        *,
        context: str = DEFAULT_CONTEXT,
        enabled: bool = True,
        include: Groups | None = None,
        include_users: Iterable[str] = (),
        exclude: Groups | None = None,
        exclude_users: Iterable[str] = (),
    ) -> FeatureFlag:
        """Add a feature flag: for everybody but the excluded, or only for the included.

        >>> local.flag("new-dashboard", include={"class": ["class-1"]})
        """
        who = build_filter(include, include_users, exclude, exclude_users)
        flag_id = stable_id(
            check_text("the context of a flag", context), check_text("the key of a flag", key)
        )
        flag = FeatureFlag(flag_id, key, context, enabled=enabled, filter=who)
        with self._api.lock:
            self._catalogue.add_flag(flag)
        return flag

    def metric(
        self,
        name: str,
        *,
        group_class: str | None = None,
        group_key: str | None = None,
        allowed: Sequence[str] | None = None,
        contexts: Sequence[str] = (DEFAULT_CONTEXT,),
    ) -> Metric:
        """Add a metric that experiments query: the server drops what is logged of any other.

        A grouped metric has a ``group_class`` and a ``group_key``. With ``allowed`` it is a
        categorical one.
        """
        if (group_class is None) != (group_key is None):
            raise ValueError(f"metric {name!r}: group_class and group_key are given together")
        given = {"name": name, "group_class": group_class, "group_key": group_key}
        for field, value in given.items():
            if value is not None:
                check_text(f"a metric's {field}", value)
        for field, several in {"allowed": allowed, "contexts": contexts}.items():
            if isinstance(several, str):
                raise TypeError(f"metric {name!r}: {field} must be a list, not {several!r}")
        path = () if group_class is None or group_key is None else (group_class, group_key)
        metric = Metric(
            key=METRIC_SEPARATOR.join((*path, name)),
            type="continuous" if allowed is None else "categorical",
            allowed=None if allowed is None else tuple(allowed),
            contexts=tuple(contexts),
        )
        with self._api.lock:
            self._catalogue.metrics[metric.key] = metric
        return metric

    def exclude(self, *, users: Iterable[str] = (), groups: Groups | None = None) -> None:
        """Exclude users and groups from everything, as UpGrade's global exclusion does.

        They take the place of whoever was excluded before.
        """
        with self._api.lock:
            self._catalogue.excluded = build_segment(users, groups)

    # What a test forces

    def force(self, site: str, target: str | None = "", *, user: str, condition: str) -> None:
        """Give a user this condition at a decision point, until :meth:`reset`.

        It wins over draws, enrolments, states and exclusions, and holds in every context that has
        this condition there. The user need not exist yet, and may be an alias, linked already or
        later. A within-subjects queue becomes this condition throughout.
        """
        check_text("user", user)
        with self._api.lock:
            here = [
                experiment
                for experiment in self._catalogue.experiments.values()
                if any(
                    (point.site, point.target or "") == (site, target or "")
                    for point in experiment.points
                )
            ]
            contexts: set[str] = set()
            for experiment in here:
                index = experiment.index_of(condition)
                if index is not None and experiment.context not in contexts:
                    contexts.add(experiment.context)
                    self._state.store.force(user, experiment.id, index)
        if not contexts:
            codes = [one.code for experiment in here for one in experiment.conditions]
            there_are = f"only {', '.join(map(repr, codes))}" if codes else "nor any experiment"
            raise ValueError(f"no condition {condition!r} at ({site!r}, {target!r}), {there_are}")

    def explain(
        self, user: str, site: str, target: str | None = "", *, context: str | None = None
    ) -> Explanation:
        """Tell why a user gets a condition at a decision point now, or none.

        >>> print(local.explain("student-4", "home", "banner"))

        The user may be an alias, and need not be initialised. Nothing changes by it. Where several
        contexts have the point, ``context`` is the one that is meant; without it, the first that
        assigns a condition there is explained, and a step says which it is.
        """
        given = {"user": user, "site": site, "target": target or "", "context": context or ""}
        for name, value in given.items():
            check_text(name, value)
        with self._api.lock:
            return explain(self._state, user, site, target, context)

    def reset(self) -> None:
        """Forget users and all they did, what was forced, and faults; definitions stay."""
        self.up()
        with self._api.lock:
            self._state.store = Store()
            self._state.random = Random(0)
            self._api.faults.waiting.clear()
            self._api.requests.clear()

    # How clients reach it

    @property
    def transport(self) -> LocalTransport:
        """The way in without a socket, for sync and async httpx clients alike."""
        return self._transport

    @property
    def token(self) -> str:
        """A token that this server takes, for ``UpgradeClient``; "" where it checks none."""
        return self._api.tokens.token() if self._api.tokens else ""

    @contextmanager
    def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, report: Report | None = None
    ) -> Generator[str, None, None]:
        """Serve on a socket while the ``with`` block runs; give the address to use.

        >>> with local.serve() as url:
        ...     client = UpgradeClient("user", url, "my-app")

        Port 0 is any that is free; a port in use is an OSError. After :meth:`down` nobody can
        connect before :meth:`up`. ``report`` is called with each request's method, path, user,
        status and seconds. A browser on this machine is shown a page at the address.
        """
        with self._serving_lock:
            server = SocketServer(self._api, host, port, report, Page(self._api).respond)
            if self._api.down:
                server.pause()
            self._servers.append(server)
        try:
            yield server.url
        finally:
            with self._serving_lock:
                self._servers.remove(server)
                self._api.disruptions.release()
                server.stop()
