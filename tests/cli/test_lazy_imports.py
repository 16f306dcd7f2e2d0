"""A module that is loaded when it is used is, then, that module."""

import subprocess
import sys

from recli.cli.lazy_imports import load_when_used

SCRIPT = """
import sys
from recli.cli.lazy_imports import load_when_used
load_when_used("numpy"); load_when_used("colorsys"); load_when_used("no_such_module")
import numpy as np, colorsys
print("numpy._core" in sys.modules, "no_such_module" in sys.modules, colorsys.__name__)
assert sys.modules["colorsys"] is colorsys
two = np.arange(3).sum() - 1
from numpy import linalg
import numpy.random, numpy
print(two, type(np.ones(1)) is np.ndarray is numpy.ndarray, np.linalg is linalg, np.f2py.__name__)
print(sys.modules["numpy"] is numpy)
print(round(colorsys.rgb_to_hsv(1, 0, 0)[2]), hasattr(np, "nothing"), hasattr(colorsys, "nothing"))
"""


def test_a_module_is_loaded_by_its_first_use_and_whole_from_then_on() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False False colorsys",
        "2 True True numpy.f2py",
        "True",
        "1 False False",
    ]


def test_a_loaded_module_stays_as_it_is() -> None:
    here = sys.modules["sys"], sys.modules[__name__]
    load_when_used("sys")
    load_when_used(__name__)
    assert here == (sys.modules["sys"], sys.modules[__name__])
