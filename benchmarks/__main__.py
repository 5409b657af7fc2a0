"""Everything that is measured, one after the other: `make bench`."""

import importlib
import pkgutil

import benchmarks

for module in pkgutil.iter_modules(benchmarks.__path__):
    if module.name != "__main__":
        print(f"\n{module.name}\n{'-' * len(module.name)}")
        importlib.import_module(f"benchmarks.{module.name}").main()
