"""LoRA and its kin: small files that change a network's weights.

`names` reads whose adapters a file holds, `targets` which weights they mean, `formulas` what they add. Patches are merged
one after another in float32, and the result is kept in the weight's dtype (`graphflow.models.merged`).
"""

from graphflow.models.lora.formulas import change
from graphflow.models.lora.names import Group, groups
from graphflow.models.lora.targets import Fit, Shapes, Target, Targets, ends_of, fit

__all__ = ["Fit", "Group", "Shapes", "Target", "Targets", "change", "ends_of", "fit", "groups"]
