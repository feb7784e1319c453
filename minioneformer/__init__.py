"""OneFormer built by hand: one model, trained once, for three segmentation tasks."""

from minioneformer.checkpoints.pretrained import load_pretrained, save_pretrained
from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.evaluator import evaluate
from minioneformer.inference.predictor import Predictor
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer, OneFormerOutput
from minioneformer.structures import TASKS
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.training.run import build_predictor

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "BPETokenizer",
    "Criterion",
    "OneFormer",
    "OneFormerConfig",
    "OneFormerOutput",
    "Predictor",
    "SwinConfig",
    "ToyPanoptic",
    "build_predictor",
    "evaluate",
    "load_pretrained",
    "save_pretrained",
]
