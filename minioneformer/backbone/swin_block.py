"""One block of the Swin Transformer: attention inside windows, then an MLP.

Paper: Swin Transformer (arXiv 2103.14030), Sec. 3.2, Eqs. (3) and (4); in OneFormer
(arXiv 2211.06220), Sec. 3.4, part of Figure 2 (a), box "Backbone".

Maps are channels last. Window and shift never shrink: a map smaller than a window is padded to
one, at any image size.

Not here: how windows are cut and masked (`backbone/windows.py`), how blocks are stacked
(`backbone/swin.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.backbone.windows import (
    pad_to_multiple,
    partition,
    relative_position_index,
    reverse,
    shifted_window_mask,
)
from minioneformer.layers.drop_path import DropPath


class WindowAttention(nn.Module):
    r"""Multi-head self-attention inside windows, with a learned bias per relative position.

    $$\text{softmax}(q k^\top / \sqrt{d} + \text{bias} + \text{mask})\, v$$

    Args:
        dim: Channels.
        num_heads: Divides `dim`.
        window_size: Side of a window, in cells, >= 1.
        qkv_bias: Whether the query, key and value projections have a bias.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, or `window_size` is not positive.

    Fidelity:
        Swin paper, Eq. (4); official code: no known difference. The rows of `qkv` are queries,
        keys, values, as published.
    """

    def __init__(
        self, *, dim: int, num_heads: int, window_size: int, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        if dim % num_heads != 0:
            raise ValueError(f"num_heads must divide dim, got {dim=}, {num_heads=}.")
        if window_size < 1:
            raise ValueError(f"window_size must be at least 1 cell, got {window_size=}.")
        self.num_heads = num_heads
        self.window_size = window_size
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        table = torch.empty((2 * window_size - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))

    def forward(
        self,
        windows: Float[Tensor, "B_windows area C"],
        shift_mask: Float[Tensor, "windows area area"] | None = None,
    ) -> Float[Tensor, "B_windows area C"]:
        """Let the cells of each window attend to each other.

        Args:
            windows: All windows of the first image, then those of the second, ...
            shift_mask: Added to the logits of the windows of each image; None for none.

        Returns:
            The attended windows, projected.
        """
        bias = self.relative_position_bias()[None]  # (1, heads, area, area)
        if shift_mask is not None:
            bias = bias + shift_mask[:, None]  # (windows, heads, area, area)

        # subtle: windows that share a bias go along the batch axis, windows that do not go along
        # the head axis, so that attention broadcasts the bias and never copies it per image.
        q, k, v = rearrange(
            self.qkv(windows),
            "(b n) area (qkv heads d) -> qkv b (n heads) area d",
            n=bias.shape[0],
            qkv=3,
            heads=self.num_heads,
        )
        # subtle: expanded here, without a copy, because attention itself would ask whether there is
        # one window or image only, and an export for any number must not.
        bias = bias.flatten(0, 1).to(q.dtype).expand(q.shape[0], -1, -1, -1)  # (b, n * heads, ...)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)

        attended = rearrange(
            attended, "b (n heads) area d -> (b n) area (heads d)", heads=self.num_heads
        )
        return self.proj(attended)

    def relative_position_bias(self) -> Float[Tensor, "heads area area"]:
        """The bias of each pair (query cell, key cell), looked up in the table."""
        table = self.relative_position_bias_table
        index = relative_position_index(self.window_size, table.device)
        # index_select: its gradient is cheaper than that of table[index]
        bias = table.index_select(0, index.flatten())  # (area * area, heads)
        return rearrange(bias, "(q k) heads -> heads q k", q=len(index))


class GeluMLP(nn.Module):
    """Linear, exact GELU, Linear; the residual is left to the caller.

    Args:
        dim: Channels.
        hidden_dim: Channels between the two.
    """

    def __init__(self, *, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Float[Tensor, "*cells C"]) -> Float[Tensor, "*cells C"]:
        """Transform each cell by itself."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Window attention and MLP, each normalised before and added to its input.

    Args:
        dim: Channels.
        num_heads: Divides `dim`.
        window_size: Side of a window, in cells.
        shift: By how many cells the windows are shifted; 0 in even blocks.
        mlp_ratio: Hidden width of the MLP over `dim`.
        qkv_bias: Whether the query, key and value projections have a bias.
        drop_path_rate: Probability that a sample skips a branch while training.
        layer_norm_eps: Of both LayerNorms.

    Fidelity:
        Official code: no known difference. transformers 5 drops paths on the attention branch
        only; here, as in the official code, on both.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        window_size: int,
        shift: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.attention = WindowAttention(
            dim=dim, num_heads=num_heads, window_size=window_size, qkv_bias=qkv_bias
        )
        self.norm2 = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.mlp = GeluMLP(dim=dim, hidden_dim=int(mlp_ratio * dim))
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """Eq. (3) of the Swin paper.

        Args:
            x: A map of any size.

        Returns:
            A map of the same size.
        """
        x = x + self.drop_path(self.attend_in_windows(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend_in_windows(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """Pad, shift, cut into windows, attend, and undo it all.

        Args:
            x: A map, already normalised: what is padded after the norm is zero, and takes part
                in the attention with the biases of `qkv`.

        Returns:
            A map of the same size.
        """
        size, shift = self.window_size, self.shift
        _, height, width, _ = x.shape
        x = pad_to_multiple(x, size)
        _, padded_height, padded_width, _ = x.shape

        shift_mask = None
        if shift > 0:
            x = torch.roll(x, (-shift, -shift), dims=(1, 2))
            shift_mask = shifted_window_mask(
                padded_height // size, padded_width // size, size, shift, x.device
            )

        windows = self.attention(partition(x, size), shift_mask)  # (B * windows, area, C)

        x = reverse(windows, padded_height, padded_width, size)
        if shift > 0:
            x = torch.roll(x, (shift, shift), dims=(1, 2))
        # subtle: a slice compares its bounds with the size, which an export for any size cannot
        return x.narrow(1, 0, height).narrow(2, 0, width)
