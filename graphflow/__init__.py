"""GraphFlow: node-graph workflows for diffusion models, run, cached and served."""

__version__ = "0.1.0"
