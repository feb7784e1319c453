r"""Multi-scale deformable attention: read a few learned places of every level.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (a), box "Pixel Decoder".
After: Deformable DETR (arXiv 2010.04159), Sec. 4.1, Eq. (3).

Axis letters of this file: B images, S cells of all levels together, Q queries, M heads,
L levels, P points, D channels of a head, E = 4 corners of a cell.

Not here: the encoder layer around it (`pixel_decoder/encoder.py`), compiled kernels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from minioneformer.layers.cached_by_size import cached_by_size
from minioneformer.layers.tracing import is_exporting

# Below this many cells the weights are spread over all cells and multiplied as a matrix, which
# is faster there than gathering (benchmarks/ms_deform_attn.py); memory grows with Q x S.
DENSE_MAX_CELLS = 400


def ms_deform_attn(
    value: Float[Tensor, "B S M D"],
    spatial_shapes: list[tuple[int, int]],
    sampling_locations: Float[Tensor, "B Q M L P 2"],
    attention_weights: Float[Tensor, "B Q M L P"],
) -> Float[Tensor, "B Q M*D"]:
    r"""Weighted sum of bilinear samples, in pure PyTorch with exact gradients.

    A bilinear sample is itself a weighted sum of four cells, so one query and head need
    $4 L P$ rows of the value table and as many weights: one `embedding_bag`.

    Args:
        value: Cells of all levels, concatenated in the order of `spatial_shapes`.
        spatial_shapes: (H, W) of each level, in cells.
        sampling_locations: (x, y) in [0, 1]; outside of that range zeros are read.
        attention_weights: Weight of each sample; need not sum to 1.

    Returns:
        For each query the heads' sums, concatenated.

    Raises:
        ValueError: If the levels do not have as many cells as `value`.

    Example:
        One level of 1 x 2 cells with values 10 and 20: the location (0.5, 0.5) lies midway
        between the two centres and gives 15; (0.25, 0.5) is the first centre and gives 10;
        (0, 0.5) lies half a cell outside of it and gives 5.
    """
    num_cells = sum(height * width for height, width in spatial_shapes)
    if num_cells != value.shape[1]:
        raise ValueError(
            f"spatial_shapes must have as many cells as value, got {spatial_shapes=}, "
            f"{num_cells=}, {value.shape[1]=}."
        )
    if is_exporting():
        sampled_BQMD = _sample_maps(value, spatial_shapes, sampling_locations, attention_weights)
        return sampled_BQMD.flatten(2)
    rows_BQMK, weights_BQMK = _corner_rows_and_weights(
        spatial_shapes, sampling_locations, attention_weights
    )  # K = L * P * E
    gather = _gather_dense if value.shape[1] <= DENSE_MAX_CELLS else _gather_bags
    out_BQMD = gather(value, rows_BQMK, weights_BQMK.to(value.dtype))
    return out_BQMD.flatten(2)  # (B, Q, M * D)


def _corner_rows_and_weights(
    spatial_shapes: list[tuple[int, int]], locations: Tensor, attention_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Cell index (among S) and weight of each of the four corners of each sample."""
    size, start = _level_sizes(tuple(spatial_shapes), locations.device)  # (L, 1, 2), (L, 1, 1)
    # subtle: half precision cannot tell neighbouring cells apart, so places are float32 at least.
    dtype = torch.promote_types(locations.dtype, torch.float32)
    x, y = (locations.to(dtype) * size - 0.5).unbind(-1)  # in cells; integers are centres
    width, height = size[..., 0], size[..., 1]
    columns, x_shares = _neighbours(x, width)  # of (B, Q, M, L, P)
    lines, y_shares = _neighbours(y, height)
    rows, weights = [], []
    for line, y_share in zip(lines, y_shares, strict=True):
        first, weight = start[..., 0] + line * width, attention_weights * y_share
        for column, x_share in zip(columns, x_shares, strict=True):
            rows.append(first + column)
            weights.append(weight * x_share)
    return torch.stack(rows, -1).flatten(3).long(), torch.stack(weights, -1).flatten(3)


def _neighbours(cell: Tensor, length: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The cells before and after each place on one axis, and what share of the sample each has.

    The weight of a corner is the product of its shares on the two axes. A cell outside has no
    share; its index is moved inside, where it does no harm. A place that is not finite has NaN for
    its shares, so what is read there is NaN: the losses and the decoding notice that.
    """
    before = cell.floor()
    fraction = cell - before
    shares = [
        (1 - fraction) * ((before >= 0) & (before < length)),
        fraction * ((before >= -1) & (before < length - 1)),
    ]
    first, last = torch.zeros_like(length), length - 1
    # subtle: clamp keeps NaN, and NaN as an index is a number far outside of the table.
    index = before.nan_to_num(nan=0.0)
    return [torch.clamp(index + side, first, last) for side in (0, 1)], shares


@cached_by_size
def _level_sizes(
    spatial_shapes: tuple[tuple[int, int], ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(W, H) of each level and the index of its first cell, shaped to broadcast over points."""
    cells = [height * width for height, width in spatial_shapes]
    starts = [sum(cells[:level]) for level in range(len(cells))]
    size = torch.tensor([(w, h) for h, w in spatial_shapes], dtype=torch.float32, device=device)
    start = torch.tensor(starts, dtype=torch.float32, device=device)
    return size[:, None], start[:, None, None]


def _gather_bags(value_BSMD: Tensor, rows_BQMK: Tensor, weights_BQMK: Tensor) -> Tensor:
    B, S, M, D = value_BSMD.shape
    Q = rows_BQMK.shape[1]
    image = torch.arange(B, device=rows_BQMK.device).view(B, 1, 1, 1)
    head = torch.arange(M, device=rows_BQMK.device).view(1, 1, M, 1)
    table_rows = (image * S + rows_BQMK) * M + head  # row of (b, s, m) in the flat table
    bags = F.embedding_bag(
        table_rows.flatten(0, 2),
        value_BSMD.reshape(B * S * M, D),
        per_sample_weights=weights_BQMK.flatten(0, 2),
        mode="sum",
    )
    return bags.view(B, Q, M, D)


def _gather_dense(value_BSMD: Tensor, rows_BQMK: Tensor, weights_BQMK: Tensor) -> Tensor:
    B, S, M, _ = value_BSMD.shape
    weights_BQMS = weights_BQMK.new_zeros(B, rows_BQMK.shape[1], M, S)
    weights_BQMS = weights_BQMS.scatter_add(-1, rows_BQMK, weights_BQMK)
    return torch.einsum("bqms,bsmd->bqmd", weights_BQMS, value_BSMD)


def _sample_maps(
    value_BSMD: Tensor,
    spatial_shapes: list[tuple[int, int]],
    locations_BQMLPX: Tensor,
    weights_BQMLP: Tensor,
) -> Tensor:
    """The same by `grid_sample`, one level at a time: one graph for maps of any size."""
    B, _, M, _ = value_BSMD.shape
    maps = rearrange(value_BSMD, "b s m d -> (b m) d s")
    dtype = torch.promote_types(locations_BQMLPX.dtype, torch.float32)  # places, as above
    grids = rearrange(2 * locations_BQMLPX.to(dtype) - 1, "b q m l p x -> l (b m) q p x")
    weights = rearrange(weights_BQMLP, "b q m l p -> l (b m) 1 q p")
    start, total = 0, torch.zeros((), dtype=dtype, device=value_BSMD.device)
    for (height, width), grid, weight in zip(spatial_shapes, grids, weights, strict=True):
        level = maps.narrow(2, start, height * width).unflatten(2, (height, width))
        sampled = F.grid_sample(level.to(dtype), grid, align_corners=False)
        total = total + (sampled * weight).sum(-1)  # (B * M, D, Q)
        start = start + height * width
    return rearrange(total.to(value_BSMD.dtype), "(b m) d q -> b q m d", b=B, m=M)


class MultiScaleDeformableAttention(nn.Module):
    """Each query predicts where to look, around its reference point, and how much.

    Args:
        dim: Channels in and out.
        num_heads: M; must divide `dim`.
        num_levels: L.
        num_points: P, samples per head and level.

    Raises:
        ValueError: If `num_heads` does not divide `dim`.
    """

    def __init__(
        self, *, dim: int, num_heads: int = 8, num_levels: int = 3, num_points: int = 4
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"num_heads must divide dim, got {dim=}, {num_heads=}.")
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(dim, samples * 2)
        self.attention_weights = nn.Linear(dim, samples)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Start with head m looking in direction m, point p at distance p + 1, evenly weighted."""
        angle = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)  # (M, 2)
        direction = direction / direction.abs().amax(-1, keepdim=True)  # onto the unit square
        distance = torch.arange(1, self.num_points + 1)
        bias = torch.einsum("mc,p->mpc", direction, distance.float())
        bias = bias[:, None].expand(-1, self.num_levels, -1, -1)  # (M, L, P, 2)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for proj in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(proj.weight)
            nn.init.zeros_(proj.bias)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "Q 2"],
        tokens: Float[Tensor, "B S C"],
        spatial_shapes: list[tuple[int, int]],
        padding_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Read the tokens around each query's reference point.

        Args:
            query: What predicts places and weights.
            reference_points: (x, y) in [0, 1], the same on every level.
            tokens: What is read; cells of all levels, concatenated.
            spatial_shapes: (H, W) of each level.
            padding_mask: True where a cell is padding and reads as zero.

        Returns:
            One row per query.
        """
        value = self.value_proj(tokens)
        if padding_mask is not None:
            value = value.masked_fill(padding_mask[..., None], 0.0)
        locations = self.sampling_locations(query, reference_points, spatial_shapes)
        sampled = ms_deform_attn(
            rearrange(value, "b s (m d) -> b s m d", m=self.num_heads),
            spatial_shapes,
            locations,
            self.weigh_samples(query),
        )
        return self.output_proj(sampled)

    def sampling_locations(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "Q 2"],
        spatial_shapes: list[tuple[int, int]],
    ) -> Float[Tensor, "B Q M L P 2"]:
        """Where each query looks: offsets are in cells of the level that is read.

        Args:
            query: What predicts the offsets.
            reference_points: (x, y) in [0, 1].
            spatial_shapes: (H, W) of each level.

        Returns:
            (x, y), in [0, 1] inside the image.
        """
        offsets = rearrange(
            self.sampling_offsets(query),
            "b q (m l p xy) -> b q m l p xy",
            m=self.num_heads,
            l=self.num_levels,
            xy=2,
        )
        size, _ = _level_sizes(tuple(spatial_shapes), query.device)
        return reference_points[:, None, None, None] + offsets / size

    def weigh_samples(self, query: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q M L P"]:
        """How much each sample counts: a softmax over levels and points together.

        Args:
            query: What predicts the weights.

        Returns:
            Weights that sum to 1 over the last two axes.
        """
        logits = rearrange(self.attention_weights(query), "b q (m k) -> b q m k", m=self.num_heads)
        return logits.softmax(-1).unflatten(-1, (self.num_levels, self.num_points))
