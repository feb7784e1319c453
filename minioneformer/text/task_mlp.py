r"""From the task's token ids to the task token.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "MLP".

Not here: the layer norm after it, which is the decoder's own (`decoder/prediction_heads.py`),
and the prompt (`text/task_prompt.py`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from minioneformer.layers.mlp import MLP


class TaskMLP(nn.Module):
    r"""Two linear layers on the ids themselves, read as numbers: $Q_\text{task}$.

    Args:
        context_length: Tokens of a prompt, padding included.
        hidden_dim: Channels of the task token.

    Fidelity:
        Paper: one linear layer (appendix). Official code: two, as here; under mixed precision
        it rounds the ids (float16 makes 49406 and 49407 equal), ours are computed in float32
        (float64 if the weights are).
    """

    def __init__(self, *, context_length: int = 77, hidden_dim: int = 256) -> None:
        super().__init__()
        self.context_length = context_length
        self.mlp = MLP(
            input_dim=context_length, hidden_dim=hidden_dim, output_dim=hidden_dim, num_layers=2
        )

    def forward(self, task_tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B C"]:
        """Encode the prompts.

        Shape legend: B images, T context_length, C hidden_dim.

        Args:
            task_tokens: Ids of the tokenized prompts, padded with 0.

        Returns:
            One vector per image, not normalised, in the dtype of the weights also under autocast.

        Raises:
            ValueError: If the prompts are not `context_length` tokens long.
        """
        if task_tokens.shape[1] != self.context_length:
            raise ValueError(
                f"task_tokens must have {self.context_length} columns, got "
                f"{tuple(task_tokens.shape)=}. Pass context_length={self.context_length} to "
                f"BPETokenizer.tokenize."
            )
        # subtle: half precision cannot tell neighbouring ids apart, so autocast ends here, and a
        # model that was cast to half precision leaves it for these two layers.
        dtype = next(self.mlp.parameters()).dtype
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        parameters = {name: value.to(exact) for name, value in self.mlp.named_parameters()}
        with torch.autocast(device_type=task_tokens.device.type, enabled=False):
            task_token = functional_call(self.mlp, parameters, task_tokens.to(exact))
        return task_token.to(dtype)  # (B, C)
