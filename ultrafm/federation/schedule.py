"""Who trains what, when: rounds, passes and shares, as pure arithmetic on the number of the round."""

from __future__ import annotations

from dataclasses import dataclass

from ultrafm.errors import UltraFMError
from ultrafm.seeds import spawn


@dataclass(frozen=True)
class Schedule:
    """In a pass, every site goes through its images once, in `shares` shares; in a turn, every site trains on one.

    In a round, `sites_per_round` of the `sites` sites (0: all) take their share: they are dealt into the rounds of a
    turn anew each time, so all take part equally often. With `local_epochs` above 1, a site makes so many whole passes
    in a round instead. Rounds, passes and shares count from 1, sites from 0.
    """

    sites: int
    passes: int
    shares: int = 1
    sites_per_round: int = 0
    local_epochs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"sites": 1, "passes": 0, "shares": 1, "sites_per_round": 0, "local_epochs": 1}
        for name, smallest in least.items():
            if (found := getattr(self, name)) < smallest:
                raise UltraFMError(f"schedule, {name}", repr(found), f"{smallest} or more")
        if self.local_epochs > 1 and self.shares > 1:
            found = f"{self.local_epochs}, with {self.shares} shares of a pass"
            raise UltraFMError("schedule, local_epochs", found, "1, or whole passes in a round", "set shares to 1")
        if self.passes % self.local_epochs:
            found = f"{self.local_epochs} for {self.passes} passes"
            raise UltraFMError("schedule, local_epochs", found, "a number that divides the passes")

    @property
    def rounds_per_turn(self) -> int:
        """Rounds until every site has trained on one share."""
        return -(-self.sites // self.sites_per_round) if 0 < self.sites_per_round < self.sites else 1

    @property
    def rounds(self) -> int:
        """Rounds in all."""
        return self.passes // self.local_epochs * self.shares * self.rounds_per_turn

    def place(self, number: int) -> tuple[int, int]:
        """The pass that round `number` belongs to (its last, if there are several), and the share that is trained."""
        turn = (number - 1) // self.rounds_per_turn
        return (turn // self.shares + 1) * self.local_epochs, turn % self.shares + 1

    def ends_pass(self, number: int) -> bool:
        """Is round `number` the last of its pass, or of the passes that it makes?"""
        return number % (self.shares * self.rounds_per_turn) == 0

    def sites_of(self, number: int) -> list[int]:
        """The sites that take part in round `number`, in rising order (client fraction, McMahan et al. 2017)."""
        if self.rounds_per_turn == 1:
            return list(range(self.sites))
        turn, group = divmod(number - 1, self.rounds_per_turn)
        order = spawn(self.seed, "participation", round=turn).permutation(self.sites)
        return sorted(order[group :: self.rounds_per_turn].tolist())

    def ends_before(self, number: int) -> list[int]:
        """The last rounds of the two passes that ended before round `number`, the later first.

        To these the coordinator returns when its newest checkpoints are damaged or lost.
        """
        length = self.shares * self.rounds_per_turn
        last = (number - 1) // length * length
        return [end for end in (last, last - length) if end > 0]


def share_of(steps: int, share: int, shares: int) -> slice:
    """Which of a pass's steps are share `share` of `shares`: as even as whole steps allow, and possibly none."""
    return slice(steps * (share - 1) // shares, steps * share // shares)
