"""Whose run is next: people take turns, and each one's runs go in the order in which they were asked for."""

from itertools import zip_longest

from cnnlab.errors import ResourceExhausted

PLACES = 5
"""Runs that one person may have waiting."""

_REMEMBERED = 1000


class Queue:
    """Runs that wait. Not for several threads at once.

    First comes whoever has had no turn yet, or had the last one longest ago; among those that are equal, whoever asked
    first. So a person with one run waits for at most one run of each other person, however many these have.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[str]] = {}
        self._had_turns: dict[str, None] = {}

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._waiting.values())

    def add(self, owner: str, run: str) -> None:
        """Put a run behind the others of its owner.

        Raises:
            ResourceExhausted: The owner has `PLACES` runs waiting already.
        """
        runs = self._waiting.get(owner, [])
        if len(runs) >= PLACES:
            raise ResourceExhausted(
                f"You have {len(runs)} runs waiting, which is all there is room for. Withdraw one, or wait until one "
                "has begun."
            )
        self._waiting[owner] = [*runs, run]

    def take(self) -> str | None:
        """The next run, which waits no more; None where nobody waits."""
        for owner in self._owners():
            run = self._waiting[owner][0]
            self.remove(run)
            self._had_turns.pop(owner, None)
            self._had_turns[owner] = None
            # Who comes back after a thousand turns of others is as good as new.
            if len(self._had_turns) > _REMEMBERED:
                del self._had_turns[next(iter(self._had_turns))]
            return run
        return None

    def remove(self, run: str) -> bool:
        """Take a run out; False where it does not wait."""
        for owner, runs in self._waiting.items():
            if run in runs:
                runs.remove(run)
                if not runs:
                    del self._waiting[owner]
                return True
        return False

    def order(self) -> list[str]:
        """All that wait, in the order in which they will be taken if nobody else comes."""
        rounds = zip_longest(*(self._waiting[owner] for owner in self._owners()))
        return [run for one_round in rounds for run in one_round if run is not None]

    def _owners(self) -> list[str]:
        """Those who wait, in the order of their turns."""
        turns = {owner: turn for turn, owner in enumerate(self._had_turns)}
        # Sorting keeps the order of those who had no turn: that in which they asked.
        return sorted(self._waiting, key=lambda owner: turns.get(owner, -1))
