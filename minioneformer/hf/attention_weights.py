"""The attention weights of the decoder, written down while it runs.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2 (c), boxes "CA" and "SA".

The decoder itself never forms the weights; whoever asks for them pays for them here.

Not here: the attention (`layers/attention.py`), pictures of it (`visualize/`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from minioneformer.decoder.transformer_decoder import TransformerDecoder


@contextmanager
def attention_weights(
    decoder: TransformerDecoder, *, record: bool = True
) -> Iterator[list[tuple[Tensor, ...]]]:
    """Record the weights of every layer while the decoder runs.

    Args:
        decoder: Its layers are watched until the context is left.
        record: Whether to record at all; otherwise the tuples stay empty.

    Yields:
        One tuple per layer, filled by a forward pass: weights of the self-attention
        (B, heads, N, N), and of the cross-attention (B, N, cells), mean over the heads.
    """
    recorded: list[tuple[Tensor, ...]] = [() for _ in decoder.layers]
    with ExitStack() as watched:
        for index, layer in enumerate(decoder.layers if record else ()):

            def see_cross(
                module: Any, inputs: tuple[Tensor, ...], _output: Tensor, at: int = index
            ) -> None:
                recorded[at] = (module.weights(*inputs).mean(dim=1),)

            def see_self(
                module: Any, inputs: tuple[Tensor, ...], _output: Tensor, at: int = index
            ) -> None:
                recorded[at] = (module.weights(*inputs[:2]), *recorded[at])

            for name, see in (("cross_attention", see_cross), ("self_attention", see_self)):
                attention: nn.Module = layer.get_submodule(name)
                watched.callback(attention.register_forward_hook(see).remove)
        yield recorded
