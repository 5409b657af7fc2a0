"""Which folders go into the wheel, and under which names; everything else is in pyproject.toml."""

from setuptools import find_namespace_packages, setup

SHIPPED = {"graphflow_nodes": "nodes", "graphflow.web": "web/dist", "graphflow.workflows_shipped": "workflows"}

setup(
    packages=[*find_namespace_packages(include=["graphflow", "graphflow.*"]), *SHIPPED],
    package_dir={"graphflow": "graphflow", **SHIPPED},
    package_data={"": ["**/*"]},
    exclude_package_data={"": ["**/*.pyc"]},
)
