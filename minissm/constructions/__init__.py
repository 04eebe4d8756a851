"""Networks whose weights are written down; the proof that one linear layer can't do what they do. All of it is ours."""

from .circuit import Circuit, Wire, gate, hat, one_hot, relu, signed_gate, write_fnn
from .limits import lti_margin, lti_taps, memory_bits
from .networks import copying, recall, selection, selective_copying
from .stats import Stats, stats

__all__ = [
    "Circuit",
    "Stats",
    "Wire",
    "copying",
    "gate",
    "hat",
    "lti_margin",
    "lti_taps",
    "memory_bits",
    "one_hot",
    "recall",
    "relu",
    "selection",
    "selective_copying",
    "signed_gate",
    "stats",
    "write_fnn",
]
