"""Starts the witness, and then runs the `sitecustomize` that this one hides.

Python imports this at its start, because its folder stands at the front of PYTHONPATH.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType

# By name at run time: this folder is on the path of a recorded program alone.
import_module("trading_graph_bootstrap").start()


def _run_next() -> None:
    here = os.path.dirname(os.path.realpath(__file__))
    others = [entry for entry in sys.path if os.path.realpath(entry) != here]
    spec = PathFinder.find_spec(__name__, others)
    if spec is None or spec.loader is None:
        return
    ours = sys.modules[__name__]
    # importlib.util, which would make it, takes longer to import than all of this.
    module = sys.modules[__name__] = ModuleType(__name__)
    module.__spec__, module.__loader__ = spec, spec.loader
    module.__file__ = spec.origin
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules[__name__] = ours
        raise  # Python says so, as it does without us.


_run_next()
