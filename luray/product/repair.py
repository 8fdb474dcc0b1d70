"""Tile-years of a product compared with their receipts, and withdrawn to be made again."""

from collections.abc import Sequence

from luray.product.store import Product
from luray.product.trajectories import OverviewYear, Unit
from luray.storage.objects import remove
from luray.storage.receipts import digest


def stored_digest(product: Product, unit: Unit) -> str:
    """Return the sha256 of what is stored, as its receipt should have it.

    Returns "unreadable (...)" where a shard is damaged. Raises OSError when the store is out of
    reach: that is no damage, and a repair would delete what is sound.
    """
    try:
        return digest(*(product.stored(unit, array) for array in product.layout.arrays(unit)))
    except OSError:
        raise
    except Exception as error:  # a damaged shard fails in whichever codec meets it first
        return f"unreadable ({type(error).__name__})"


def damaged(product: Product, units: Sequence[Unit]) -> list[Unit]:
    """Return the units whose stored bytes do not match their receipt, or that have no receipt."""
    unsound = []
    for unit in units:
        recorded = product.ledger.sha256(product.layout.key(unit)) or "no receipt"
        if recorded != stored_digest(product, unit):
            unsound.append(unit)
    return unsound


def withdraw(product: Product, units: Sequence[Unit]) -> None:
    """Remove receipts and shards, so that the next inference computes them again.

    The coarser overviews of their years go with them, as they follow from the maps.

    The order is the opposite of writing: first the product is marked as unfinished, so that nobody
    starts to read it, then the receipts go, and the shards last. The shards have to go, too: Zarr
    reads the index of an old shard before it writes a new one, and stops at a damaged one.
    """
    units = list(units)
    if product.overviews.coarser_levels:
        maps = [unit for unit in units if not unit.across]
        overviews = {OverviewYear(unit.year, unit.member_index) for unit in maps}
        units += overviews.difference(units)

    product.mark(finished=False)
    product.ledger.withdraw(product.layout.key(unit) for unit in units)
    for unit in units:
        for array in product.layout.arrays(unit):
            remove(f"{product.url}/{product.layout.shard(unit, array)}")
