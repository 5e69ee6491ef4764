"""Parts of diffusion models that hold no network: schedules, steps back, samplers, units of x."""
