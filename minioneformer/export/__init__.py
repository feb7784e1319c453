"""The model for other programs: `torch.export`, ONNX, and post-processing with NumPy alone."""
