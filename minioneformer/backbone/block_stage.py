"""The blocks of one resolution of a backbone, and the step down to the next.

Paper: Swin Transformer (arXiv 2103.14030), Figure 3, and DiNAT (arXiv 2209.15001), Figure 4; in
OneFormer (arXiv 2211.06220), part of Figure 2 (a), box "Backbone".

Not here: the blocks (`backbone/swin_block.py`, `backbone/dinat.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class BlockStage(nn.Module):
    """The blocks of one resolution, and the step down to the next.

    Args:
        blocks: Map to map of the same size, in order.
        downsample: To half the resolution; None in the last stage.
        checkpoint_blocks: Whether to recompute each block in the backward pass.
    """

    def __init__(
        self,
        *,
        blocks: Sequence[nn.Module],
        downsample: nn.Module | None,
        checkpoint_blocks: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample
        self.checkpoint_blocks = checkpoint_blocks

    def forward(
        self, x: Float[Tensor, "B H W C"]
    ) -> tuple[Float[Tensor, "B H W C"], Float[Tensor, "B H_next W_next C_next"]]:
        """Run the blocks.

        Args:
            x: The map of this stage.

        Returns:
            The map after the blocks, and the one that the next stage starts from; in the last
            stage the same.
        """
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpoint_blocks else block(x)
        return x, x if self.downsample is None else self.downsample(x)
