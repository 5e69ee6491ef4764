"""What goes to the Hugging Face hub: a run's model, its scores and pictures, and a card of these."""

from reparam.hub.publishing import push_to_hub, write_card

__all__ = ["push_to_hub", "write_card"]
