"""One frame that stands for a stimulus."""

from __future__ import annotations

import numpy as np
import torch


def strongest_frames(stimulus: torch.Tensor) -> np.ndarray:
    """Return of each stimulus the frame with the most power, ``(row, channel, height, width)``."""
    x = stimulus.detach()
    at = torch.linalg.vector_norm(x, dim=(1, 3, 4)).argmax(dim=1)
    return x[torch.arange(len(x), device=x.device), :, at].float().cpu().numpy()
