"""Tables: text and frames, from cells to columns of numbers, labels and attributes."""
