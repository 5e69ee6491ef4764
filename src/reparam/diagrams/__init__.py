"""Diagrams of what a model is, drawn from the model itself."""
