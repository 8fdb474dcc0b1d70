"""TO BE WRITTEN."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from luray.storage.objects import read_object, write_atomically
from luray.training.trainer import Trainer


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished training is kept, and of which training it is."""

    path: str
    identity: Mapping[str, Any]
    """Everything the weights depend on, as JSON."""

    def save(self, trainer: Trainer) -> None:
        """Write model, optimiser and position of a training in one atomic file."""
        tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
        for i, state in trainer.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        cpu = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        about = {"done": str(trainer.done), "identity": json.dumps(self.identity)}
        write_atomically(self.path, save(cpu, metadata=about))

    def restore(self, trainer: Trainer) -> bool:
        """Continue from the checkpoint; False when there is none.

        Raises ValueError for a damaged file and, naming what differs, for a checkpoint of another
        training.
        """
        found = self._read()
        if found is None:
            return False
        tensors, about = found
        require_same(
            json.loads(about["identity"]), self.identity, what=f"{self.path} is a checkpoint of"
        )
        trainer.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        )
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, i, name = key.split(".", 2)
                state.setdefault(int(i), {})[name] = value
        groups = trainer.optimiser.state_dict()["param_groups"]
        trainer.optimiser.load_state_dict({"state": state, "param_groups": groups})
        trainer.done = int(about["done"])
        return True

    @property
    def done(self) -> int:
        """Steps that are done."""
        found = self._read()
        return int(found[1]["done"]) if found else 0

    def _read(self) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
        data = read_object(self.path)
        if data is None:
            return None
        try:
            tensors = load(data)
            about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            return tensors, {key: about[key] for key in ("done", "identity")}
        except (SafetensorError, KeyError) as error:
            raise ValueError(
                f"{self.path} is damaged or no checkpoint ({error}); delete it to train from the "
                "start"
            ) from error


def require_same(found: Mapping[str, Any], wanted: Mapping[str, Any], *, what: str) -> None:
    """Raise ValueError naming every value in which two identities differ."""
    there, here = _flat(found), _flat(wanted)
    other = [
        f"{key} {there.get(key, 'absent')} there, {here.get(key, 'absent')} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]
    if other:
        raise ValueError(
            f"{what} another training ({'; '.join(other)}): `luray train --restart` discards it "
            "and "
            "trains anew; to keep it, give the run another output"
        )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of a tree of mappings by their dotted names."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {
        k: v
        for key, node in tree.items()
        for k, v in _flat(node, f"{prefix}.{key}" if prefix else key).items()
    }
