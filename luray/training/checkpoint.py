"""The checkpoint of an unfinished training: model, optimiser and position in one atomic file.

A finished model is another thing, see `luray.model.checkpoint`.
"""

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
        """Write model, optimiser and position of a training."""
        tensors = {}
        for name, value in trainer.model.state_dict().items():
            tensors[f"model.{name}"] = value

        # The learning rate is a function of the step, so only the moments need saving: by the
        # number of the parameter and their name.
        moments = trainer.optimiser.state_dict()["state"]
        for i, moments_of_parameter in moments.items():
            for name, value in moments_of_parameter.items():
                tensors[f"optimiser.{i}.{name}"] = torch.as_tensor(value)

        on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        metadata = {
            "done": str(trainer.done),
            "identity": json.dumps(self.identity),
            "workers": str(n_workers()),
            "threads": str(torch.get_num_threads()),
        }
        write_atomically(self.path, save(on_cpu, metadata=metadata))

    def restore(self, trainer: Trainer) -> bool:
        """Continue a training from the checkpoint.

        Returns
        -------
        bool
            False when there is no checkpoint; the trainer is then as it was.

        Raises
        ------
        ValueError
            If the file is damaged, or is a checkpoint of another training; it names what differs.
        """
        contents = self._read()
        if contents is None:
            return False

        tensors, metadata = contents
        require_same(
            json.loads(metadata["identity"]),
            self.identity,
            what=f"{self.path} is a checkpoint of",
        )
        model_state = {}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            if part == "model":
                model_state[name] = value
            elif part == "optimiser":
                i, _, moment = name.partition(".")
                moments.setdefault(int(i), {})[moment] = value

        trainer.model.load_state_dict(model_state)
        groups = trainer.optimiser.state_dict()["param_groups"]
        trainer.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        trainer.done = int(metadata["done"])
        return True

    @property
    def done(self) -> int:
        """Steps that are done."""
        contents = self._read()
        return int(contents[1]["done"]) if contents else 0

    def threads(self, *, workers: int) -> int | None:
        """Return the threads of a worker in the steps that are done.

        The rounding of a step's sums follows how they are divided among workers and threads. A
        training that goes on elsewhere, or under another limit of CPUs, takes as many threads as
        before, and so gives the weights that it would have given without the interruption.

        Parameters
        ----------
        workers : int
            Workers that go on.

        Returns
        -------
        int or None
            None without a checkpoint, or where another number of workers wrote it.
        """
        contents = self._read()
        if contents is None or contents[1].get("workers") != str(workers):
            return None
        return int(contents[1]["threads"])

    def _read(self) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
        """Tensors and metadata of the file, None without one."""
        data = read_object(self.path)
        if data is None:
            return None

        try:
            tensors = load(data)
            # safetensors reads metadata from files only: the header is JSON after its length in 8
            # bytes.
            header_end = 8 + int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8:header_end])["__metadata__"]
            if missing := {"done", "identity"} - metadata.keys():
                raise KeyError(f"no {', '.join(sorted(missing))}")
            return tensors, metadata
        except (SafetensorError, KeyError) as error:
            raise ValueError(
                f"{self.path} is damaged or no checkpoint ({error}); delete it to train from the "
                "start"
            ) from error


def n_workers() -> int:
    """Return how many workers share the training that this process belongs to."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def require_same(stored: Mapping[str, Any], wanted: Mapping[str, Any], *, what: str) -> None:
    """Refuse what is stored of another training.

    Parameters
    ----------
    stored, wanted : mapping
        Identities of two trainings.
    what : str
        Begins the message, such as "model/forward holds".

    Raises
    ------
    ValueError
        If the identities differ; it names every value in which they do.
    """
    stored_values = _flat(stored)
    wanted_values = _flat(wanted)
    differences = []
    for key in sorted({*stored_values, *wanted_values}):
        there = stored_values.get(key, "absent")
        here = wanted_values.get(key, "absent")
        if stored_values.get(key) != wanted_values.get(key):
            differences.append(f"{key} {there} there, {here} here")
    if differences:
        raise ValueError(
            f"{what} another training ({'; '.join(differences)}): `luray train --restart` discards "
            "it and trains anew; to keep it, give the run another output"
        )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of a tree of mappings by their dotted names."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}

    leaves: dict[str, Any] = {}
    for key, node in tree.items():
        leaves |= _flat(node, f"{prefix}.{key}" if prefix else key)
    return leaves
