"""minissm: state space models, nonlinear layers and attention in NumPy, every gradient by hand.

After "State Space Models are Provably Comparable to Transformers in Dynamic Token Selection" (Nishikawa & Suzuki,
ICLR 2025, arXiv 2405.19036). Start at README.md; read layers.linear, scan.recurrent and filters.s4d first.
"""

from . import filters, layers, losses, optim, scan, tasks, tree
from .attention import Attn, attention, attention_weights
from .backend import namespace, to
from .checkpoint import load, load_state, save, save_state
from .filters import Fir, S4d, Trig
from .gradcheck import GradientError, gradcheck
from .layers import Fnn
from .lstm import Lstm, lstm
from .model import Model
from .selective import S6, selective, selective_scan
from .spec import parse
from .ssm import Ssm, ssm
from .train import Log, Scores, evaluate, fit

# ssm, attention, selective, lstm, gradcheck are functions; `from minissm.ssm import ...` reaches what else is there

__version__ = "0.4.0"
__all__ = [
    "S6",
    "Attn",
    "Fir",
    "Fnn",
    "GradientError",
    "Log",
    "Lstm",
    "Model",
    "S4d",
    "Scores",
    "Ssm",
    "Trig",
    "attention",
    "attention_weights",
    "evaluate",
    "filters",
    "fit",
    "gradcheck",
    "layers",
    "load",
    "load_state",
    "losses",
    "lstm",
    "namespace",
    "optim",
    "parse",
    "save",
    "save_state",
    "scan",
    "selective",
    "selective_scan",
    "ssm",
    "tasks",
    "to",
    "tree",
]
