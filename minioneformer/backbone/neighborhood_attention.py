r"""Neighborhood attention: each cell of a map attends to k x k cells around it, d steps apart.

Paper: DiNAT (arXiv 2209.15001), Sec. 3.1, Eqs. (2) to (4); in OneFormer (arXiv 2211.06220),
Sec. 4.1, part of Figure 2 (a), box "Backbone".

Plain PyTorch, on any device. The keys of each cell are never gathered for it alone, which would
take k^2 times the memory of the map: tiles of cells share them (`backbone/neighborhoods.py`), and
tiles are worked through in chunks, in the backward pass too.

Not here: the block around it (`backbone/dinat.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from minioneformer.backbone.neighborhoods import Tiles, map_tiles

# In logits or gathered numbers, whichever is more. On CPUs a chunk should stay in the cache:
# there 16 MB instead of 4 MB take a third more time.
CHUNK_SIZE = 2**24
CPU_CHUNK_SIZE = 2**20

# subtle: not -inf, which turns into NaN where a kernel meets a block of keys that are all
# blocked; the weight of this is exactly 0 all the same.
BLOCKED_LOGIT = -10_000.0


def neighborhood_attention(
    qkv: Float[Tensor, "B H W 3 heads D"],
    relative_position_bias: Float[Tensor, "heads side side"],
    *,
    dilation: int,
    padding: Float[Tensor, "3 heads D"] | None = None,
) -> Float[Tensor, "B H W heads D"]:
    r"""Attend to the nearest k x k cells of the same residue class.

    $$\text{softmax}(q_i \cdot k_j / \sqrt{D} + \text{bias}_{j - i})\, v_j$$

    Shape legend: B images, H x W cells, D channels per head, side = 2 k - 1.

    Args:
        qkv: Queries, keys and values of each cell.
        relative_position_bias: Added to the logits; its entry (k - 1, k - 1) belongs to the
            cell itself, the entry one row further to the key one step of `dilation` below.
        dilation: $d$, steps between neighbors, >= 1.
        padding: Key and value (and query, unused) of each cell that pads the map at the right
            and bottom to $k d$ cells; not needed where it is as large as that.

    Returns:
        The attended values of each cell.

    Raises:
        ValueError: If the side of the bias table is even or not 2 k - 1 of an odd k, if
            `dilation` is below 1, or if the map is smaller than $k d$ and `padding` is None.

    Example:
        All queries and biases 0 make it an average: of the 1 x 1 map 6 and a padding of 2,
        k = 3: (6 + 8 * 2) / 9 = 22 / 9.

    Fidelity:
        DiNAT paper, official code: no known difference. transformers 5 calls operations that
        NATTEN no longer has, with two axes swapped.
    """
    side = relative_position_bias.shape[-1]
    if side % 4 != 1:
        raise ValueError(f"the bias table must have 2 k - 1 rows for an odd k, got {side=}.")
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1 step, got {dilation=}.")
    _, height, width, *_ = qkv.shape
    smallest = (side + 1) // 2 * dilation
    q, kv = qkv[:, :, :, 0].flatten(1, 2), qkv[:, :, :, 1:].flatten(1, 2)
    if min(height, width) < smallest:
        if padding is None:
            raise ValueError(
                f"a map smaller than kernel_size * dilation needs padding, got {height=}, "
                f"{width=}, kernel_size * dilation = {smallest}."
            )
        padded_cell = repeat(padding[1:].to(kv.dtype), "kv heads d -> b 1 kv heads d", b=len(kv))
        kv = torch.cat([kv, padded_cell], dim=1)  # (B, H * W + 1, 2, heads, D)

    tiles = map_tiles(height, width, (side + 1) // 2, dilation, qkv.device)
    # Compilers derive their own backward pass.
    attend = _attend if torch.compiler.is_compiling() else _MemoryBoundAttention.apply
    attended = attend(q.contiguous(), kv.contiguous(), relative_position_bias, tiles)
    return rearrange(attended, "b (h w) heads d -> b h w heads d", h=height)


class NeighborhoodAttention(nn.Module):
    """Multi-head neighborhood attention with its projections.

    Args:
        dim: Channels.
        num_heads: Divides `dim`.
        kernel_size: Cells per axis that a cell attends to, odd.
        dilation: Steps between those cells, >= 1.
        qkv_bias: Whether the query, key and value projections have a bias.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, `kernel_size` is even or not positive,
            or `dilation` is below 1.

    Fidelity:
        Official code: no known difference. The rows of `qkv` are queries, keys, values, as
        published.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        kernel_size: int,
        dilation: int = 1,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        if dim % num_heads != 0:
            raise ValueError(f"num_heads must divide dim, got {dim=}, {num_heads=}.")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size=}.")
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1 step, got {dilation=}.")
        self.num_heads = num_heads
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        bias = torch.empty(num_heads, 2 * kernel_size - 1, 2 * kernel_size - 1)
        self.relative_position_bias = nn.Parameter(nn.init.trunc_normal_(bias, std=0.02))

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        """Let each cell attend to its neighborhood.

        Args:
            x: A map of any size, already normalised.

        Returns:
            The attended map, projected.
        """
        split = {"qkv": 3, "heads": self.num_heads}
        qkv = rearrange(self.qkv(x), "b h w (qkv heads d) -> b h w qkv heads d", **split)
        # subtle: the map is padded with zeros before `qkv`, and a zero projects to the bias.
        bias = self.qkv.bias
        if bias is None:
            bias = qkv.new_zeros(self.qkv.out_features)
        attended = neighborhood_attention(
            qkv,
            self.relative_position_bias,
            dilation=self.dilation,
            padding=rearrange(bias, "(qkv heads d) -> qkv heads d", **split),
        )
        return self.proj(rearrange(attended, "b h w heads d -> b h w (heads d)"))

    def extra_repr(self) -> str:
        """The neighborhood, for printed models."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}"


def _attend(q: Tensor, kv: Tensor, table: Tensor, groups: list[Tiles]) -> Tensor:
    """Attention of all tiles; of the shape of `q`, (B, H * W, heads, D)."""
    out = torch.empty_like(q)
    for tiles in groups:
        bias = _tile_bias(table, tiles).to(q.dtype)
        for queries, keys in _chunks(q, kv, tiles):
            attended = F.scaled_dot_product_attention(
                *_gather(q, kv, queries, keys), attn_mask=bias
            )
            attended = rearrange(attended, "n heads q d -> (n q) heads d")
            out.flatten(0, 1).index_copy_(0, queries.flatten(), attended.to(out.dtype))
    return out


class _MemoryBoundAttention(torch.autograd.Function):
    """`_attend`, with weights computed again in the backward pass, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, kv: Tensor, table: Tensor, groups: list[Tiles]) -> Tensor:
        ctx.save_for_backward(q, kv, table)
        ctx.groups = groups
        return _attend(q, kv, table, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, kv, table = ctx.saved_tensors
        d_out = d_out.contiguous()
        # subtle: a key collects gradients from several tiles, the table from all; in half
        # precision the later ones would be lost.
        exact = torch.promote_types(q.dtype, torch.float32)
        d_q = torch.empty_like(q)
        d_kv = torch.zeros_like(kv, dtype=exact)
        d_table = table.new_zeros(len(table), table[0].numel() + 1, dtype=exact)
        for tiles in ctx.groups:
            bias = _tile_bias(table, tiles).to(q.dtype)
            for queries, keys in _chunks(q, kv, tiles):
                d_q_tiles, d_kv_tiles, d_bias = _attention_gradients(
                    *_gather(q, kv, queries, keys), bias, _select(d_out, queries), exact
                )
                d_q_tiles = rearrange(d_q_tiles, "n heads q d -> (n q) heads d")
                d_q.flatten(0, 1).index_copy_(0, queries.flatten(), d_q_tiles)
                d_kv_tiles = rearrange(d_kv_tiles, "kv n heads k d -> (n k) kv heads d")
                d_kv.flatten(0, 1).index_add_(0, keys.flatten(), d_kv_tiles)
                d_table.index_add_(1, tiles.bias_entries.flatten(), d_bias.flatten(1))
        d_table = d_table[:, :-1].view_as(table)  # what was blocked has no gradient
        return d_q, d_kv.to(kv.dtype), d_table.to(table.dtype), None


def _attention_gradients(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, d_attended: Tensor, exact: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, of k and v stacked, and of bias, the last summed over the tiles."""
    scale = q.shape[-1] ** -0.5
    logits = (q * scale) @ k.transpose(-1, -2)  # (B * n, heads, Q, K)
    weights = logits.add_(bias).softmax(dim=-1, dtype=exact)
    d_kv = k.new_empty(2, *k.shape, dtype=exact)
    d_kv[1] = weights.to(v.dtype).transpose(-1, -2) @ d_attended

    # The softmax: what all keys gain together changes nothing.
    d_logits = (d_attended @ v.transpose(-1, -2)).to(exact).mul_(weights)
    d_logits.addcmul_(weights, d_logits.sum(dim=-1, keepdim=True), value=-1)
    d_bias = d_logits.sum(dim=0)  # (heads, Q, K)

    d_logits = d_logits.to(q.dtype)
    d_kv[0] = d_logits.transpose(-1, -2) @ (q * scale)
    return (d_logits @ k) * scale, d_kv, d_bias


def _tile_bias(table: Tensor, tiles: Tiles) -> Tensor:
    """What is added to the logits of each tile; (1, heads, Q, K)."""
    entries = F.pad(table.flatten(1), (0, 1), value=BLOCKED_LOGIT)
    bias = entries.index_select(1, tiles.bias_entries.flatten())
    return bias.view(1, len(table), *tiles.bias_entries.shape)


def _chunks(q: Tensor, kv: Tensor, tiles: Tiles) -> Iterator[tuple[Tensor, Tensor]]:
    """Queries (n, Q) and keys (n, K) of some tiles at a time, counted through all images."""
    image = torch.arange(len(q), device=q.device)[:, None, None]
    queries = (tiles.queries + image * q.shape[1]).flatten(0, 1)  # (B * tiles, Q)
    keys = (tiles.keys + image * kv.shape[1]).flatten(0, 1)  # (B * tiles, K)

    _, _, heads, depth = q.shape
    per_tile = heads * keys.shape[1] * max(queries.shape[1], 2 * depth)
    in_cache = q.is_cpu and not torch.compiler.is_compiling()
    size = max((CPU_CHUNK_SIZE if in_cache else CHUNK_SIZE) // per_tile, 1)
    return zip(queries.split(size), keys.split(size), strict=True)


def _gather(q: Tensor, kv: Tensor, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (n, heads, Q, D), keys and values (n, heads, K, D) of tiles."""
    k, v = _select(kv, keys).unbind(dim=-2)  # from (n, heads, K, 2, D)
    return _select(q, queries), k, v


def _select(x: Tensor, cells: Tensor) -> Tensor:
    """Cells of tiles, (B, cells, ..., heads, D) to (n, heads, cells of a tile, ..., D)."""
    selected = x.flatten(0, 1).index_select(0, cells.flatten())
    return selected.unflatten(0, cells.shape).movedim(-2, 1)
