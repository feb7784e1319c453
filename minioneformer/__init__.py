"""OneFormer built by hand: one model, trained once, for three segmentation tasks."""

from minioneformer.checkpoints.pretrained import load_pretrained, save_pretrained
from minioneformer.config import (
    ConvNextConfig,
    DinatConfig,
    OneFormerConfig,
    ResNetConfig,
    SwinConfig,
)
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.evaluator import evaluate
from minioneformer.hf.image_processor import OneFormerImageProcessor
from minioneformer.hf.modeling import OneFormerForUniversalSegmentation, OneFormerModel
from minioneformer.hf.outputs import (
    OneFormerForUniversalSegmentationOutput,
    OneFormerModelOutput,
)
from minioneformer.hf.processor import OneFormerProcessor
from minioneformer.inference.predictor import Predictor
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer, OneFormerOutput
from minioneformer.presets.published import published_model, published_models
from minioneformer.structures import TASKS
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.training.parts import build_predictor

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "BPETokenizer",
    "ConvNextConfig",
    "Criterion",
    "DinatConfig",
    "OneFormer",
    "OneFormerConfig",
    "OneFormerForUniversalSegmentation",
    "OneFormerForUniversalSegmentationOutput",
    "OneFormerImageProcessor",
    "OneFormerModel",
    "OneFormerModelOutput",
    "OneFormerOutput",
    "OneFormerProcessor",
    "Predictor",
    "ResNetConfig",
    "SwinConfig",
    "ToyPanoptic",
    "build_predictor",
    "evaluate",
    "load_pretrained",
    "published_model",
    "published_models",
    "save_pretrained",
]
