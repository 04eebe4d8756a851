"""Presets: the tasks of published code, in its sizes. `minissm run NAME` runs one; `minissm tasks` lists them."""

from typing import NamedTuple


class Preset(NamedTuple):
    """spec: the task in the source's sizes.  source: paper, file, and differences from it."""

    spec: str
    source: str


JELASSI = "Jelassi et al. 2024, arXiv 2402.01032; sjelassi/transformers_ssm_copy"
FIGURE_2 = "zoology/experiments/paper_configs/iclr24_zoology_figure2/configs.py"
ZOOLOGY = f"Arora et al. 2023, arXiv 2312.04927; HazyResearch/zoology, {FIGURE_2}; ours asks in random order"
MAMBA = "Gu and Dao 2023, arXiv 2312.00752"

PRESETS: dict[str, Preset] = {
    "jelassi-copying": Preset(
        "copying(min_len=5, max_len=20, symbols=26)",
        f"{JELASSI}, synthetic_exps/main.py; one example a sequence, not several in 220 tokens",
    ),
    "jelassi-lookup": Preset(
        "lookup(ngram=3, min_len=20, max_len=50, symbols=26)",
        f"{JELASSI}, CopyDataset in synthetic_exps/data_utils.py; one symbol is asked, not the rest of the string",
    ),
    "s4-copying": Preset(
        "selective_copying(copied=10, context=110)",
        "Gu et al. 2022, arXiv 2111.00396; state-spaces/s4, src/dataloaders/synthetic.py with variable=True",
    ),
    "mamba-copying": Preset(
        "selective_copying(copied=16, context=4096, symbols=14)",
        f"{MAMBA}, section 4.1.1; of its 16 tokens, one is the blank and one asks",
    ),
    "mamba-induction": Preset(
        "induction_heads(length=256, symbols=15)", f"{MAMBA}, section 4.1.2; of its 16 tokens, one is the trigger"
    ),
    "h3-induction": Preset(
        "induction_heads(length=31, symbols=18)",
        "Fu et al. 2023, arXiv 2212.14052; HazyResearch/safari, configs/pipeline/induction_head.yaml; "
        "trained on the answer alone, not on all tokens",
    ),
    "zoology-fig2-64": Preset("mqar(length=64, vocab=8192)", ZOOLOGY),
    "zoology-fig2-128": Preset("mqar(pairs=8, length=128, vocab=8192)", ZOOLOGY),
    "zoology-fig2-256": Preset("mqar(pairs=16, length=256, vocab=8192)", ZOOLOGY),
}
