r"""From the texts of an image to its text queries.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.2 and Figure 4; Figure 2(b), box "Text Mapper".

Training only: nothing else of the model reads text queries.

Not here: which texts (`text/text_list.py`), the loss (`losses/contrastive.py`).
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from minioneformer.layers.mlp import MLP
from minioneformer.text.text_encoder import TextEncoder


class TextMapper(nn.Module):
    r"""Encode each text, project it, append the learnable context: $Q_\text{text}$.

    Args:
        encoder: One vector per text.
        num_text_context: Rows of $Q_\text{ctx}$, the same for every image; may be 0.
        hidden_dim: Channels of a text query.
        proj_layers: Linear layers of the projector.
    """

    def __init__(
        self,
        *,
        encoder: TextEncoder,
        num_text_context: int,
        hidden_dim: int,
        proj_layers: int = 2,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = MLP(
            input_dim=encoder.width,
            hidden_dim=hidden_dim,
            output_dim=hidden_dim,
            num_layers=proj_layers,
        )
        # nn.Embedding draws from N(0, 1), as the official code does.
        self.text_context = nn.Embedding(num_text_context, hidden_dim) if num_text_context else None

    def forward(self, text_tokens: Int[Tensor, "B N_text T"]) -> Float[Tensor, "B N C"]:
        """Map the texts of a batch.

        Shape legend: B images, N_text texts per image, T tokens, R distinct texts,
        N = N_text + num_text_context, C hidden_dim.

        Args:
            text_tokens: Ids of the padded text lists; the end token has the largest id.

        Returns:
            Texts in the given order, then the context rows.

        Raises:
            ValueError: If an id is not in the encoder's vocabulary, or there are no texts.
        """
        self._check(text_tokens)

        # Most texts of a batch are equal (padding): encode each distinct one once.
        rows = rearrange(text_tokens, "b n t -> (b n) t")
        distinct, position = torch.unique(rows, dim=0, return_inverse=True)  # (R, T), (B N_text,)

        # The encoder is causal: what follows the last end token is never read.
        length = int(distinct.argmax(dim=1).max()) + 1
        encoded = self.projector(self.encoder(distinct[:, :length]))  # (R, C)
        text_queries = rearrange(encoded[position], "(b n) c -> b n c", b=len(text_tokens))

        if self.text_context is None:
            return text_queries
        context = repeat(self.text_context.weight, "n c -> b n c", b=len(text_tokens))
        return torch.cat([text_queries, context], dim=1)  # (B, N, C)

    def _check(self, text_tokens: Tensor) -> None:
        if text_tokens.numel() == 0:
            raise ValueError(f"every image needs a text, got {tuple(text_tokens.shape)=}.")
        largest, vocab_size = int(text_tokens.max()), self.encoder.vocab_size
        # Checked here because on a GPU the embedding would end the process without a name.
        if largest >= vocab_size:
            raise ValueError(
                f"text_tokens must be below {vocab_size=}, got {largest=}. The tokenizer and the "
                f"text encoder need the same vocabulary."
            )
