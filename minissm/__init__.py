"""minissm: state space models, nonlinear layers and attention in NumPy, every gradient by hand.

After "State Space Models are Provably Comparable to Transformers in Dynamic Token Selection" (Nishikawa & Suzuki,
ICLR 2025, arXiv 2405.19036). Start at README.md; read layers.linear, scan.recurrent and filters.s4d first.
"""

from . import constructions, filters, layers, losses, optim, plots, scan, tasks, tree
from .attention import Attn, attention, attention_weights
from .backend import namespace, to
from .check_block import BlockError, check_block
from .checkpoint import load, load_state, save, save_state
from .evaluate import evaluate
from .fast import reference
from .filters import Fir, Poles, S4d, Taps, Trig
from .gradcheck import GradientError, gradcheck
from .layers import Fnn
from .lstm import Lstm, lstm
from .mean import Mean, mean
from .model import Model, zeros
from .selective import S6, selective, selective_scan
from .spec import parse, register
from .ssm import Ssm, ssm
from .train import Log, fit

# attention, check_block, evaluate, gradcheck, lstm, mean, selective and ssm are functions here, not modules. Import
# other names of their files with `from minissm.ssm import ...`.

__version__ = "0.9.1"
__all__ = [
    "S6",
    "Attn",
    "BlockError",
    "Fir",
    "Fnn",
    "GradientError",
    "Log",
    "Lstm",
    "Mean",
    "Model",
    "Poles",
    "S4d",
    "Ssm",
    "Taps",
    "Trig",
    "attention",
    "attention_weights",
    "check_block",
    "constructions",
    "evaluate",
    "filters",
    "fit",
    "gradcheck",
    "layers",
    "load",
    "load_state",
    "losses",
    "lstm",
    "mean",
    "namespace",
    "optim",
    "parse",
    "plots",
    "reference",
    "register",
    "save",
    "save_state",
    "scan",
    "selective",
    "selective_scan",
    "ssm",
    "tasks",
    "to",
    "tree",
    "zeros",
]
