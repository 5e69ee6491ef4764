"""What goes to the Hugging Face hub: a model, its scores, pictures and card."""

from reparam.hub.publishing import push_to_hub, write_card

__all__ = ["push_to_hub", "write_card"]
