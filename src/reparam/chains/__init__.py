"""Markov chains: kernels that leave a density as it is, annealing, and enumeration beside them."""
