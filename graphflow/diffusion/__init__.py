"""Numerics of diffusion: noise schedules, samplers, guidance, prompts. Knows tensors and recipes, no files, no engine."""
