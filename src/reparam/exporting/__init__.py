"""Models as graphs that other programs run: ONNX files, and programs of ``torch.export``."""
