r"""Causal transformer that turns a tokenized text into one vector.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.2; Figure 4, box "Text Encoder", inside Figure 2(b),
box "Text Mapper".
After: CLIP (arXiv 2103.00020), Sec. 2.4, the text transformer; trained from scratch here.

Not here: the projection to queries and the learnable context (`text/text_mapper.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

HEAD_DIM = 64


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention in which a token reads itself and what stands before it.

    Args:
        width: Channels.
        num_heads: Divides `width`.
    """

    def __init__(self, *, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))  # rows: q, k, v
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Float[Tensor, "R T C"]) -> Float[Tensor, "R T C"]:
        """Let each token read from the tokens up to itself.

        Args:
            x: Normalised tokens.

        Returns:
            What is added to them.
        """
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = rearrange(
            qkv, "r t (three heads c) -> three r heads t c", three=3, heads=self.num_heads
        ).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(rearrange(attended, "r heads t c -> r t (heads c)"))


class QuickGELUMLP(nn.Module):
    r"""Linear, $x \, \sigma(1.702 x)$, linear.

    Args:
        width: Channels in and out; four times as many between.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "R T C"]) -> Float[Tensor, "R T C"]:
        """Transform each token by itself.

        Args:
            x: Normalised tokens.

        Returns:
            What is added to them.
        """
        x = self.fc1(x)  # (R, T, 4 C)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class TextEncoderLayer(nn.Module):
    """Attention, then MLP, each on the normalised input and added to it.

    Args:
        width: Channels.
        num_heads: Divides `width`.
        layer_norm_eps: Of both norms.
    """

    def __init__(self, *, width: int, num_heads: int, layer_norm_eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=layer_norm_eps)
        self.attention = CausalSelfAttention(width=width, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(width, eps=layer_norm_eps)
        self.mlp = QuickGELUMLP(width=width)

    def forward(self, x: Float[Tensor, "R T C"]) -> Float[Tensor, "R T C"]:
        """Apply the layer.

        Args:
            x: Tokens.

        Returns:
            Tokens.
        """
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TextEncoder(nn.Module):
    """One vector per text: the feature at its end token, which has read all before it.

    Args:
        vocab_size: Ids of the tokenizer.
        context_length: Longest text in tokens.
        width: Channels.
        num_layers: Transformer layers.
        num_heads: Attention heads; None means one per 64 channels, at least one.
        layer_norm_eps: Of every norm.
        init_std: Standard deviation of the token embedding's initial values.

    Raises:
        ValueError: If the heads do not divide `width`.

    Fidelity:
        Official code: the same. transformers builds the causal mask and does not use it.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 49408,
        context_length: int = 77,
        width: int = 256,
        num_layers: int = 6,
        num_heads: int | None = None,
        layer_norm_eps: float = 1e-5,
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        num_heads = max(1, width // HEAD_DIM) if num_heads is None else num_heads
        if num_heads < 1 or width % num_heads:
            raise ValueError(
                f"num_heads must divide width, got {width=}, {num_heads=}. "
                f"Without num_heads, widths that are multiples of {HEAD_DIM} always work."
            )
        self.vocab_size = vocab_size
        self.context_length = context_length
        self.width = width
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        layers = [
            TextEncoderLayer(width=width, num_heads=num_heads, layer_norm_eps=layer_norm_eps)
            for _ in range(num_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.final_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        nn.init.normal_(self.token_embedding.weight, std=init_std)
        nn.init.normal_(self.positional_embedding, std=0.01)
        for layer in layers:
            _initialise(layer, width, num_layers)

    def forward(self, text_tokens: Int[Tensor, "R T"]) -> Float[Tensor, "R C"]:
        """Encode texts.

        Shape legend: R texts, T tokens, C width.

        Args:
            text_tokens: Ids; the end token has the largest. What follows it is never read, so
                columns after the last end may be cut off.

        Returns:
            One vector per text.

        Raises:
            ValueError: If the texts are longer than `context_length`.
        """
        length = text_tokens.shape[1]
        if length > self.context_length:
            raise ValueError(
                f"texts may have {self.context_length} tokens, got {tuple(text_tokens.shape)=}. "
                f"Pass context_length={self.context_length} to BPETokenizer.tokenize."
            )
        x = self.token_embedding(text_tokens) + self.positional_embedding[:length]  # (R, T, C)

        for layer in self.layers:
            x = layer(x)

        # subtle: argmax returns the first end token, also if the text has a second one.
        end = text_tokens.argmax(dim=1)  # (R,)
        x = x[torch.arange(len(x), device=x.device), end]  # (R, C)
        return self.final_norm(x)


def _initialise(layer: TextEncoderLayer, width: int, num_layers: int) -> None:
    """Draw weights; what is added to the tokens shrinks with the depth, as in GPT-2."""
    branch_std = (width * 2 * num_layers) ** -0.5
    nn.init.normal_(layer.attention.in_proj_weight, std=width**-0.5)
    nn.init.normal_(layer.attention.out_proj.weight, std=branch_std)
    nn.init.normal_(layer.mlp.fc1.weight, std=(2 * width) ** -0.5)
    nn.init.normal_(layer.mlp.fc2.weight, std=branch_std)
