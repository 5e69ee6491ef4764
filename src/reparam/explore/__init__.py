"""A trained model as a page to play with: served beside the model, or in one file without it."""
