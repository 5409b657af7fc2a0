"""What families share: the `Family` itself, how files look, transformers of flows, and Stable Diffusion's U-Net."""
