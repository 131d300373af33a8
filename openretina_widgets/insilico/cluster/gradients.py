"""Local gradients on a cluster: images, or points of a grid of contrasts, are shared out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, TypeVar

import torch

from openretina_widgets.insilico.cluster.on_worker import Part
from openretina_widgets.insilico.cluster.shards import Sharded
from openretina_widgets.insilico.receptive_fields.vector_field import AtImages, OfImages
from openretina_widgets.insilico.tuning_analyses.response_gradient import OfPairs, OnGrid
from openretina_widgets.models.retina_model import RetinaModel

Found = TypeVar("Found")
Come = Generator[list[Found], None, None]


def shared_at_images(
    client: Any, model: RetinaModel, asked: AtImages, images: torch.Tensor
) -> Come[OfImages]:
    """Check the client, and return a generator of the gradients at images, as they come."""
    sharded = Sharded(client, at_images, model, {"asked": asked, "images": images})
    return _come(sharded, len(images))


def at_images(part: Part) -> list[OfImages]:
    """Return the gradients at some images; on a worker."""
    asked: AtImages = part.settings["asked"]
    return [asked.gradients(part.model, part.settings["images"], part.share, part.go_on)]


def shared_on_grid(client: Any, model: RetinaModel, asked: OnGrid) -> Come[OfPairs]:
    """Check the client, and return a generator of what pairs have given, as they come."""
    return _come(Sharded(client, on_grid, model, {"asked": asked}), asked.total)


def on_grid(part: Part) -> list[OfPairs]:
    """Return what some pairs of a point and a movie give; on a worker."""
    asked: OnGrid = part.settings["asked"]
    kept = part.run.kept
    if "pairs" not in kept:
        kept["pairs"] = asked.on(part.model)
    found = []
    with closing(kept["pairs"](part.share)) as batches:
        for one in batches:
            part.go_on()
            found.append(one)
    return found


def _come(sharded: Sharded, total: int) -> Come[Any]:
    size = sharded.share(total)
    shares = (slice(at, min(total, at + size)) for at in range(0, total, size))
    with closing(sharded.news(shares, watched=False)) as news:
        for one in news:
            yield [found for _, _, value in one.results for found in value]
