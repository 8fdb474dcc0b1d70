"""TO BE WRITTEN."""

from typing import Any, Literal

from luray.core.config import Config


class SamplingConfig(Config):
    """What samples are drawn from and what is kept from them.

    `blocks` lie over the run grid, each a rectangle of whole plots: of whole cores, or in a region
    with fewer cores than blocks of whole parts of them, down to the cells of the coarse forcing;
    along an axis with fewer plots than blocks, each is a block.
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
        """Raise ValueError for shares outside 0 .. 1 and blocks or changes below 1."""
        for key in ("change_share", "zone_balance"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(
                    f"training.sampling.{key} is {getattr(self, key)}, expected 0 to 1"
                )
        if not 0 <= self.validation_share <= 0.5:
            raise ValueError(
                f"training.sampling.validation_share is {self.validation_share}, expected 0 to 0.5"
            )
        if not 0 <= self.validation_years <= 0.5:
            raise ValueError(
                f"training.sampling.validation_years is {self.validation_years}, expected 0 to 0.5"
            )
        if min(self.blocks) < 1 or self.least_change < 1:
            raise ValueError("training.sampling.blocks and least_change must be at least 1")

    def held_years(self, first: int, last: int, *, rollout_years: int) -> int:
        """How many of the years `first` .. `last` are held out, as many as leave a rollout to train
        on.
        """
        wanted = (
            max(1, round(self.validation_years * (last - first))) if self.validation_years else 0
        )
        return max(0, min(wanted, last - first - rollout_years))


DEFAULT = SamplingConfig()
