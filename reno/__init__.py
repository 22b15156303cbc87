"""A benchmark of ReNO: which metric makes a one-step text-to-image model bind attributes to objects?"""

__version__ = "0.1.0"
