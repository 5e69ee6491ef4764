"""A trained model explored in the browser."""
