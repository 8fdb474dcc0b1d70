"""Settings of `[training.sampling]`: what samples are drawn from and what is held out from them."""

from typing import Any, Literal

from luray.core.config import Config


class SamplingConfig(Config):
    """What samples are drawn from, and what is held out from them.

    `blocks` lie over the run grid, each a rectangle of whole plots: of whole cores, or in a region
    with fewer cores than blocks of whole parts of them, down to the cells of the coarse forcing.
    Along an axis with fewer plots than blocks, each plot is a block.
    """

    change_share: float = 0.3
    """Share of samples drawn by how many cells change in them; the others are drawn evenly."""
    zone: str = ""
    """Categorical variable, such as the climate zone, by whose categories samples are balanced;
    empty for none.
    """
    zone_balance: float = 0.5
    """0: a zone has the weight of its land; 1: all zones have the same; 0.5: the square root of its
    land.
    """
    blocks: tuple[int, int] = (30, 30)
    """Rows and columns of blocks."""
    validation_share: float = 0.1
    """Share of the land that is held out for validation, in whole blocks."""
    orientation: Literal["any", "fixed"] = "any"
    """any: samples are turned and mirrored at random."""
    validation_years: float = 0.1
    """Share of the years of training, the last in the direction of travel and at least one, that
    are held out, too: the operating points are chosen on them. 0: none, the points are chosen on
    the blocks.
    """
    least_change: int = 100
    """Fewest changed cells that a model can be trained on."""
    absent_classes: Literal["refuse", "accept"] = "refuse"
    """What to do when a class of the maps has no cell in the years of training."""

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for shares out of their range, and for blocks or changes below 1."""
        largest = {
            "change_share": 1,
            "zone_balance": 1,
            "validation_share": 0.5,
            "validation_years": 0.5,
        }
        for key, upper in largest.items():
            value = getattr(self, key)
            if not 0 <= value <= upper:
                raise ValueError(f"training.sampling.{key} is {value}, expected 0 to {upper}")
        if min(self.blocks) < 1 or self.least_change < 1:
            raise ValueError("training.sampling.blocks and least_change must be at least 1")

    def n_held_out_years(self, first: int, last: int, *, rollout_years: int) -> int:
        """Return how many years of `first` .. `last` are held out, leaving a rollout to train on.

        Examples
        --------
        >>> SamplingConfig(validation_years=0.1).n_held_out_years(1960, 2000, rollout_years=2)
        4
        """
        if not self.validation_years:
            return 0
        wanted = max(1, round(self.validation_years * (last - first)))
        return max(0, min(wanted, last - first - rollout_years))


DEFAULT = SamplingConfig()
