"""Opening a published model, from its folder or from the STAC item that leads to it."""

from typing import TYPE_CHECKING

import pystac

from luray.catalog.stac import StoreIO, asset_place
from luray.model.card import ModelCard
from luray.model.checkpoint import load_model
from luray.storage.places import place_of, public

if TYPE_CHECKING:
    from luray.model.unet import UNet


def open_model(place: str | pystac.Item) -> tuple["UNet", ModelCard]:
    """Open a trained model, checked against the sha256 of its weights.

    Parameters
    ----------
    place : str or pystac.Item
        The folder of the model, or its STAC item (a `.json`): a local path, or a URL that begins
        with s3://, gs:// or https://.

    Returns
    -------
    UNet
        The network, in evaluation mode. It takes float32 of shape (batch, channel, height, width),
        channels as the card has them, and gives logits, shape (batch, class, height, width).
    ModelCard
        Channels, classes, calibration, and what the model was trained on.

    Raises
    ------
    FileNotFoundError
        If there is no model.
    ValueError
        If weights and card do not belong together, or the item is of something else.
    RefusedError
        If a remote item leads to another host or bucket, or to a local file, and `storage.allow` of
        the run in use does not have that place.

    Examples
    --------
    >>> import luray
    >>> model, card = luray.open_model("build/demo/model/forward")  # doctest: +SKIP
    >>> logits = model(inputs)  # doctest: +SKIP
    """
    if isinstance(place, str):
        place = place_of(place)
        if not place.endswith(".json"):
            return load_model(place.rstrip("/"))
        document = pystac.read_file(place, stac_io=StoreIO())
        if not isinstance(document, pystac.Item):
            raise ValueError(
                f"{public(place)}: expected the STAC item of a model, found a "
                f"{document.STAC_OBJECT_TYPE.lower()}; give the item"
            )
        place = document

    if "weights" not in place.assets:
        raise ValueError(
            f"the STAC item {place.id} has no asset weights, expected the item of a model; see the "
            "collection of models in the catalog"
        )
    weights = asset_place(place, place.assets["weights"])
    return load_model(weights.rpartition("/")[0])
