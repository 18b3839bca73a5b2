"""People's own pictures, held in memory for as long as a run may need them: they are never written to disk."""

from collections.abc import Container

from cnnlab.data import Dataset
from cnnlab.errors import ResourceExhausted

MAX_SETS = 4
MAX_BYTES = 500_000_000
"""Of all together."""


class HeldPictures:
    """The pictures of runs. Not for several threads at once."""

    def __init__(self) -> None:
        self._sets: dict[str, Dataset] = {}  # those that were used last come last

    def of(self, run_id: str) -> Dataset | None:
        """The pictures of a run; None where they are not here, or no more."""
        return self._sets.get(run_id)

    def hold(self, run_id: str, dataset: Dataset, *, needed: Container[str]) -> None:
        """Keep the pictures of a run, and forget those that were used longest ago where there is no room for all.

        Args:
            run_id: Of the run.
            dataset: The pictures; held for several runs, they count once.
            needed: Runs whose pictures are not to be forgotten.

        Raises:
            ResourceExhausted: There is no room besides what is needed.
        """
        sets = {one: held for one, held in self._sets.items() if one != run_id} | {run_id: dataset}
        idle = [one for one in sets if one not in needed and one != run_id]
        while not _fit(sets):
            if not idle:
                raise ResourceExhausted(
                    f"There is no room in memory for {_num_bytes(dataset) / 1e6:,.0f} MB of pictures: the lab holds "
                    f"{MAX_SETS} sets and {MAX_BYTES / 1e6:,.0f} MB at most, and runs that wait or go on need theirs. "
                    "Wait until one has ended, or use fewer or smaller pictures."
                )
            del sets[idle.pop(0)]
        self._sets = sets

    def forget(self, run_id: str) -> None:
        """Let go of the pictures of a run."""
        self._sets.pop(run_id, None)


def _fit(sets: dict[str, Dataset]) -> bool:
    different = {id(one): one for one in sets.values()}.values()
    return len(different) <= MAX_SETS and sum(map(_num_bytes, different)) <= MAX_BYTES


def _num_bytes(dataset: Dataset) -> int:
    tensors = (dataset.pictures, dataset.labels, dataset.masks)
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
