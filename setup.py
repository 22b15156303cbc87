"""What pyproject.toml cannot say: in the checkout, conf/ and experiments/ lie beside reno/; in a wheel, inside it."""

from setuptools import find_packages, setup

SHIPPED = {"reno.conf": "conf", "reno.experiments": "experiments"}

setup(packages=[*find_packages(include=["reno*", "analysis*"]), *SHIPPED], package_dir=SHIPPED)
