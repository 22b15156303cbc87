"""A benchmark of ReNO: which metric makes a one-step text-to-image model bind attributes to objects?"""

from pathlib import Path

__version__ = "0.1.0"

PACKAGE = Path(__file__).resolve().parent
INSTALLED = (PACKAGE / "conf" / "config.yaml").is_file()
"""Whether this is an installed copy, and not the checkout. A wheel holds conf/ and experiments/ inside the package;
beside it, another package's conf/ could be in their way."""
HOME = PACKAGE if INSTALLED else PACKAGE.parent
"""The folder that holds conf/ and experiments/."""
