"""The assign endpoint."""

from __future__ import annotations

from ..._engine import ServerState, assign
from ..assign_json import ExperimentJson
from ..requests import Call


class Assign:
    """Writes assignments from JSON that is prepared once for each experiment."""

    def __init__(self) -> None:
        self._prepared: dict[str, ExperimentJson] = {}

    def __call__(self, state: ServerState, call: Call) -> bytes:
        items: list[str] = []
        for assigned in assign(state, call.user, call.body.get("context")):
            experiment = assigned.experiment
            prepared = self._prepared.get(experiment.id)
            if prepared is None:
                prepared = self._prepared[experiment.id] = ExperimentJson(experiment)
            items.append(prepared.item(assigned.point, assigned.queue))
        return f"[{','.join(items)}]".encode()
