"""minissm: state space models, nonlinear layers and attention in NumPy, every gradient by hand.

After "State Space Models are Provably Comparable to Transformers in Dynamic Token Selection" (Nishikawa & Suzuki,
ICLR 2025, arXiv 2405.19036). Start at README.md; read layers.linear, scan.recurrent and filters.s4d first.
"""

from . import filters, layers, losses, optim, scan, tasks, tree
from .attention import Attn, attention
from .backend import namespace, to
from .checkpoint import load, load_state, save, save_state
from .filters import S4d
from .gradcheck import GradientError, gradcheck
from .layers import Fnn
from .model import Model
from .sentence import parse
from .ssm import Ssm, ssm
from .train import Log, Scores, evaluate, fit

# ssm, attention and gradcheck are the functions; reach the modules of these names by `from minissm.ssm import ...`

__version__ = "0.1.0"
__all__ = [
    "Attn",
    "Fnn",
    "GradientError",
    "Log",
    "Model",
    "S4d",
    "Scores",
    "Ssm",
    "attention",
    "evaluate",
    "filters",
    "fit",
    "gradcheck",
    "layers",
    "load",
    "load_state",
    "losses",
    "namespace",
    "optim",
    "parse",
    "save",
    "save_state",
    "scan",
    "ssm",
    "tasks",
    "to",
    "tree",
]
