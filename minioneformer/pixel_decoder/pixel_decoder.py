"""From backbone maps to mask features and multi-scale features.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (a), boxes "Pixel Decoder" and
"Multi-Scale Features".
After: Masked-attention Mask Transformer (arXiv 2112.01527), Sec. 4.1.

Not here: the deformable attention (`pixel_decoder/ms_deform_attn.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minioneformer.layers.position_encoding import sine_position_encoding
from minioneformer.layers.tracing import with_plain_strides
from minioneformer.pixel_decoder.encoder import EncoderLayer, reference_points

ENCODED_LEVELS = ("res5", "res4", "res3")  # coarse to fine
NORM_GROUPS = 32


def _conv_norm(channels_in: int, channels_out: int, kernel_size: int, bias: bool) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2, bias=bias)
    return nn.Sequential(conv, nn.GroupNorm(NORM_GROUPS, channels_out))


class PixelDecoder(nn.Module):
    """Encode strides 32, 16, 8 together, then add stride 4 by one pyramid step.

    Args:
        in_channels: Channels of "res2" to "res5".
        hidden_dim: Channels C of the encoder; a multiple of 32 (group norm).
        mask_dim: Channels of the mask features.
        num_layers: Of the encoder.
        num_heads: Of its attention.
        feed_forward_dim: Hidden channels of its feed-forwards.
        dropout: In its layers, in training.
        layer_norm_eps: Of its LayerNorms.

    Raises:
        ValueError: If `hidden_dim` is no multiple of 32.

    Fidelity:
        Official code: a comment speaks of nearest upsampling in the pyramid step; the code is
        bilinear, and so are we. It runs in float32 under autocast; here only sampling places
        are kept in float32.
    """

    def __init__(
        self,
        *,
        in_channels: Mapping[str, int],
        hidden_dim: int,
        mask_dim: int,
        num_layers: int = 6,
        num_heads: int = 8,
        feed_forward_dim: int = 1024,
        dropout: float = 0.1,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if hidden_dim % NORM_GROUPS:
            raise ValueError(f"hidden_dim must be a multiple of 32, got {hidden_dim=}.")
        self.input_projections = nn.ModuleList(
            _conv_norm(in_channels[name], hidden_dim, kernel_size=1, bias=True)
            for name in ENCODED_LEVELS
        )
        self.level_embedding = nn.Parameter(torch.randn(len(ENCODED_LEVELS), hidden_dim))
        self.encoder = nn.ModuleList(
            EncoderLayer(
                dim=hidden_dim,
                num_heads=num_heads,
                feed_forward_dim=feed_forward_dim,
                dropout=dropout,
                num_levels=len(ENCODED_LEVELS),
                layer_norm_eps=layer_norm_eps,
            )
            for _ in range(num_layers)
        )
        self.lateral = _conv_norm(in_channels["res2"], hidden_dim, kernel_size=1, bias=False)
        self.output = _conv_norm(hidden_dim, hidden_dim, kernel_size=3, bias=False)
        self.mask_projection = nn.Conv2d(hidden_dim, mask_dim, kernel_size=1)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
        for module in self.input_projections.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.get_parameter("bias"))
        nn.init.zeros_(self.mask_projection.get_parameter("bias"))

    def forward(
        self, features: Mapping[str, Float[Tensor, "B _c _h _w"]]
    ) -> tuple[Float[Tensor, "B C_mask h w"], list[Float[Tensor, "B C _h _w"]]]:
        """Make mask features and multi-scale features.

        Args:
            features: Backbone maps "res2" to "res5", strides 4 to 32.

        Returns:
            Mask features at stride 4; features at strides 32, 16, 8, coarse to fine.
        """
        levels = [
            projection(with_plain_strides(features[name]))
            for projection, name in zip(self.input_projections, ENCODED_LEVELS, strict=True)
        ]
        multi_scale_features = self._encode(levels)

        # One step of a feature pyramid: stride 8 is enlarged and meets stride 4.
        finest, res2 = multi_scale_features[-1], with_plain_strides(features["res2"])
        enlarged = F.interpolate(finest, res2.shape[-2:], mode="bilinear", align_corners=False)
        pyramid = F.relu(self.output(self.lateral(res2) + enlarged))
        return self.mask_projection(pyramid), multi_scale_features

    def _encode(self, levels: list[Tensor]) -> list[Tensor]:
        spatial_shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        points = reference_points(tuple(spatial_shapes), levels[0].device)
        positions = self._positions(levels)

        tokens = torch.cat([rearrange(x, "b c h w -> b (h w) c") for x in levels], dim=1)
        for layer in self.encoder:
            tokens = layer(tokens, positions, points, spatial_shapes)

        cells = [height * width for height, width in spatial_shapes]
        return [
            rearrange(with_plain_strides(level), "b (h w) c -> b c h w", h=height).clone(
                memory_format=torch.contiguous_format
            )
            for level, (height, _) in zip(tokens.split(cells, 1), spatial_shapes, strict=True)
        ]

    def _positions(self, levels: list[Tensor]) -> Tensor:
        codes = []
        for level, embedding in zip(levels, self.level_embedding, strict=True):
            size = (level.shape[-2], level.shape[-1])
            sine = sine_position_encoding(size, level.shape[1], level.device, level.dtype)
            codes.append(rearrange(sine, "1 c h w -> 1 (h w) c") + embedding)
        return torch.cat(codes, dim=1)  # (1, S, C)
