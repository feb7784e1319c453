r"""Query-text contrastive loss.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.3, Eq. (1); Figure 2 (b), box "Contrastive Loss".

Pulls the object queries of an image towards the text queries of the same image, and away from
those of the other images of the batch. It compares images, not single queries: all N queries
are flattened into one vector.

Not here: the weight of the loss (`losses/criterion.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from minioneformer.processes import gather_rows, rank


def query_text_contrastive_loss(
    object_queries: Float[Tensor, "B N C"],
    text_queries: Float[Tensor, "B N C"],
    temperature: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    r"""Cross-entropy from images to texts plus from texts to images, Eq. (1).

    $$\mathcal{L} = \mathcal{L}_{Q \rightarrow Q_\text{text}}
                  + \mathcal{L}_{Q_\text{text} \rightarrow Q}$$

    Shape legend: B images, N queries per image, C hidden_dim.

    Args:
        object_queries: $Q$, before the transformer decoder; any scale, normalised here.
        text_queries: $Q_\text{text}$ from the text mapper; row i belongs to image i.
        temperature: $\tau$, > 0. Similarities are divided by it.

    With several processes the others' images are compared too, and gradients reach their queries:
    the mean over the processes is the loss of all their images in one batch. Every process then
    needs as many images as the others.

    Returns:
        Scalar, the sum of both directions, each averaged over the own images. 0 for a single
        image in a single process.

    Raises:
        ValueError: If a float `temperature` is not positive.

    Example:
        Two images whose queries are orthogonal and match their own text, temperature 0.5:
        both directions give log(1 + exp(-2)), so the loss is 0.2539.

    Fidelity:
        Paper: reads as if single queries were compared; the official code flattens them to
        one vector per image, and so do we. Official code: learns log(1 / temperature) and
        clamps its exponential at 100; `losses/criterion.py` does that.
    """
    if isinstance(temperature, float) and temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature=}.")
    images = F.normalize(object_queries.flatten(1), dim=-1)  # (B, N * C)
    texts = F.normalize(text_queries.flatten(1), dim=-1)
    image_to_text = images @ gather_rows(texts).T / temperature  # (B, W * B), W processes
    text_to_image = texts @ gather_rows(images).T / temperature
    own = torch.arange(images.shape[0], device=images.device) + rank() * images.shape[0]
    return F.cross_entropy(image_to_text, own) + F.cross_entropy(text_to_image, own)
