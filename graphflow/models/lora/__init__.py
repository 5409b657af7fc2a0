"""LoRA and its kin: small files that change a network's weights.

`names` reads whose adapters a file holds, `targets` which weights they mean, `formulas` what they add, and `adding` what
that is of our parameters. Patches are merged one after another in float32, and the result is kept in the weight's dtype
(`graphflow.models.merged`).
"""

from graphflow.models.lora.adding import added, check_inputs, inputs, mixes_rows, plus
from graphflow.models.lora.formulas import change
from graphflow.models.lora.metadata import alphas
from graphflow.models.lora.names import Group, groups
from graphflow.models.lora.targets import Fit, Shapes, Target, Targets, ends_of, fit

__all__ = [
    "Fit",
    "Group",
    "Shapes",
    "Target",
    "Targets",
    "added",
    "alphas",
    "change",
    "check_inputs",
    "ends_of",
    "fit",
    "groups",
    "inputs",
    "mixes_rows",
    "plus",
]
