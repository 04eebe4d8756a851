"""The claims: the studies that measure each, and its checks. See verdicts.py for the verdict that follows from them."""

import math
from collections.abc import Iterator
from statistics import linear_regression, median
from typing import Any

from ..studies import (
    ATTN,
    ATTN_NO_POSITIONS,
    BETWEEN,
    FIR,
    LSTM,
    ONE,
    REGRESSION,
    S6,
    SMOOTHNESS,
    SSM,
    STUDIES,
    TRIG,
)
from .rows import COST, Level, Rows, task_of
from .verdicts import THRESHOLDS as T, Check, Claim, check, fact

SELECTION = ("copying", "recall", "selective_copying", "induction_heads", "mqar", "lookup")
HARD = ("copying", "recall")
SELECTING, CONTROLS = REGRESSION[:2], REGRESSION[3:]


def comparable(
    r: Rows, task: str, model: str, other: str, of: str = "", against: str = "", learnt: bool = True
) -> Check:
    """of, against: the studies of the two models, if they are not the one of the task's name.

    learnt: True if two models at the baseline are not comparable, for neither has learnt the task.
    """
    studies = of or task, against or task
    values = {"a": r.level(studies[0], model), "b": r.level(studies[1], other), "model": model, "other": other}
    names = " ".join(dict.fromkeys(studies))

    def holds(a: Level, b: Level, **_: Any) -> bool:
        least = a.baseline + T["matters"] if learnt else -math.inf
        return a.median >= b.median - T["close"] and a.median > least

    return check("comparable", names, holds, task=task, **values)


def solved(r: Rows, study: str, model: str, text: str = "solved", **where: Any) -> Check:
    values = {"a": r.level(study, model, **where), "task": study, "model": model, **where}
    return check(text, study, lambda a, **_: a.median >= T["solved"], **values)


def layers(task: str) -> str:
    """The study of the layers that the default comparison of the task lacks."""
    return f"layers-{task}"


def mid(level: Level | None, name: str) -> float | None:
    return None if level is None else level.mid(name)


# ---- the sentences of the abstract


COSTS = COST[1:]


def cost(r: Rows) -> Iterator[Check]:
    for what in COSTS:
        ratios = cost_ratios(r, what, ATTN_NO_POSITIONS, SSM)
        length, ratio = max(ratios.items(), default=(None, None))
        more = [L for L in ratios if all(ratios[M] > 1 for M in ratios if M >= L)]
        since = f"from {more[0]:,} tokens on" if more else "at no length"
        values = {"what": what, "length": length, "ratio": ratio, "since": since}
        yield check("cost", "cost", lambda ratio, **_: ratio >= T["far"], **values)


def cost_ratios(r: Rows, what: str, model: str, other: str) -> dict[int, float]:
    """length -> the model's cost over the other's, at the lengths that both have."""
    costs = [{row["L"]: row[what] for row in r.where("cost", model=m)} for m in (model, other)]
    return {L: costs[0][L] / costs[1][L] for L in sorted(costs[0].keys() & costs[1].keys())}


def essential(r: Rows) -> Iterator[Check]:
    for task in SELECTION:
        yield comparable(r, task, SSM, ATTN)
    for task in SELECTION:
        a, b = (mid(r.level(task, model), "influence_top") for model in (SSM, ATTN))
        yield influence(task, a, b)
    a, b = (mid(r.level("regression", model, n=largest(r)), "influence_top") for model in SELECTING)
    yield influence("regression", a, b)


def influence(task: str, a: float | None, b: float | None) -> Check:
    return check("influence", task, lambda a, b, **_: a >= b - T["influence"], a=a, b=b, task=task)


def single(r: Rows) -> Iterator[Check]:
    for study, model in (("copying", "ssm"), ("recall", "ssm"), *(("linear-copying", m) for m in LONGER)):
        a = r.level(study, model)
        names = {"task": study, "model": model, "baseline": a and a.baseline}
        yield check("alone", study, lambda a, **_: a.highest < T["solved"], a=a, **names)


def largest(r: Rows) -> int | None:
    """The largest n of the regression."""
    return max(r.values("regression", "n"), default=None)


LONGER = ("ssm(poles=32)", "fir(window=24)")


def efficiently(r: Rows) -> Iterator[Check]:
    yield solved(r, "copying", ONE)
    yield solved(r, "recall", SSM)
    yield solved(r, "recall", ONE)
    level = r.level("recall-one-layer-long", ONE)
    names = {"a": level, "model": ONE} | {name: level and level.rows[0][name] for name in ("lr", "steps")}
    yield check("patient", "recall-one-layer-long", lambda a, **_: a.median >= T["solved"], **names)
    for pairs, study in ((8, "recall-pairs"), (16, "recall-pairs-16")):
        level = best(r, study, (SSM, BETWEEN), **({"pairs": pairs} if pairs == 8 else {}))
        yield check("pairs", study, lambda a, **_: a.median >= T["solved"], a=level, pairs=pairs)
    for task in HARD:
        a, b = (mid(r.level(task, model), "steps_to_95") for model in (SSM, ATTN))
        yield check("steps", task, lambda a, b, **_: a < math.inf and a <= T["patience"] * b, a=a, b=b, task=task)
    levels = best(r, "recall-pairs", (SSM, BETWEEN), pairs=8), r.level("recall-pairs", ATTN, pairs=8)
    a, b = (mid(level, "state_size") for level in levels)
    yield check("state", "recall-pairs", lambda a, b, **_: a <= b, a=a, b=b, pairs=8)


def best(r: Rows, study: str, models: tuple[str, ...], **where: object) -> Level | None:
    """The best of the models, by the median of the validation score; without one, of the test's."""
    found = [level for model in models if (level := r.level(study, model, **where))]
    return max(found, key=lambda a: (a.mid("validation") or -math.inf, a.median), default=None)


def regression(r: Rows) -> Iterator[Check]:
    a, b = (slopes(r, "regression", model) for model in SELECTING)
    both = sorted(a.keys() & b.keys())
    gap = max((abs(a[seed] - b[seed]) for seed in both), default=None)
    steepest = max([*a.values(), *b.values()]) if both else None
    yield check("slopes", "regression", lambda gap, **_: gap <= T["slope"], gap=gap, a=middle(a), b=middle(b))
    yield check("falls", "regression", lambda steepest: steepest <= T["falls"], steepest=steepest)
    n = largest(r)
    level, attention = (r.level("regression", model, n=n) for model in SELECTING)
    values = {"a": level, "b": attention, "n": n}
    yield check("factor", "regression", lambda a, b, **_: a.median <= T["factor"] * b.median, **values)
    for model in CONTROLS:
        control = r.level("regression", model, n=n)
        names = {"model": model, "n": n, "a": control, "b": level}
        yield check("plateau", "regression", lambda a, b, **_: a.median >= T["plateau"] * b.median, **names)
    for spec in STUDIES["regression"].tests:
        ssm, attn = (mid(r.level("regression", model, n=n), spec) for model in SELECTING)
        yield fact("gap", "regression", a=ssm, b=attn, gap=task_of(spec).gap, trained=task_of("regression").gap, n=n)
    for model in STUDIES["regression-closer"].models:
        other = r.level("regression-closer", model)
        yield fact("closer", "regression-closer", a=other, model=model, n=other and task_of(other.rows[0]["task"]).n)


def slopes(r: Rows, study: str, model: str, score: str = "main") -> dict[int, float]:
    """seed -> the slope of log risk over log n, by least squares, for seeds with two values of n or more.

    A run that broke off has no risk.
    """
    points: dict[int, dict[float, float]] = {}
    for n in r.values(study, "n"):
        for row, risk in r.scored(score, study, model=model, n=n):
            if 0 < risk < math.inf:
                points.setdefault(row["seed"], {})[math.log(n)] = math.log(risk)
    return {seed: linear_regression(list(p), list(p.values())).slope for seed, p in points.items() if len(p) > 1}


def middle(values: dict) -> float | None:
    return median(values.values()) if values else None


def smoothness(r: Rows) -> Iterator[Check]:
    for model in SELECTING:
        rough, smooth = (slopes(r, "regression-two-smoothness", model, score) for score in SMOOTHNESS)
        both = sorted(rough.keys() & smooth.keys())
        apart = [smooth[seed] < rough[seed] for seed in both] or None
        values = {"a": middle(rough), "b": middle(smooth), "apart": apart, "model": model}
        yield check("apart", "regression-two-smoothness", lambda apart, **_: all(apart), **values)


# ---- the questions of its reviewers


def equal_budgets(r: Rows) -> Iterator[Check]:
    for task in HARD:
        yield comparable(r, task, SSM, ATTN)
        a, b = r.level(task, "ssm"), r.level(task, ATTN)
        yield check("behind", task, lambda a, b, **_: a.median < b.median - T["close"], a=a, b=b, task=task)


def split(r: Rows) -> Iterator[Check]:
    def holds(a: Level, b: Level, **_: Any) -> bool:
        return a.lowest - b.highest >= T["matters"]

    for model in (SSM, ATTN):
        expands = r.values("recall-budget", "fnn.expand")
        levels = {e: r.level("recall-budget", model, **{"fnn.expand": e}) for e in expands}
        reached = {e: (level.median, -e) for e, level in levels.items() if level}  # of equals, the ends
        top, low = (f(reached, key=lambda e: reached[e], default=None) for f in (max, min))
        ends = {"top": top, "low": low, "a": levels.get(top), "b": levels.get(low)}
        yield check("split", "recall-budget", holds, **ends, model=model)
    two = {name: r.level("recall-pairs", model, pairs=8) for name, model in (("a", BETWEEN), ("b", SSM))}
    yield check("between", "recall-pairs", holds, **two)


def any_filter(r: Rows) -> Iterator[Check]:
    for task in HARD:
        yield comparable(r, task, "fir + fnn1", ONE, of=f"{task}-mixers", learnt=False)
        for model in (FIR, TRIG):
            yield comparable(r, task, model, SSM, of=layers(task))


def attention_with_fnn(r: Rows) -> Iterator[Check]:
    for task in HARD:
        yield comparable(r, task, SSM, ATTN)
        yield comparable(r, task, SSM, "attn + attn")
        yield comparable(r, task, ONE, "attn + fnn1", against=f"{task}-mixers", learnt=False)


def lstm_and_mamba(r: Rows) -> Iterator[Check]:
    for task in HARD:
        for model in (S6, LSTM):
            yield solved(r, layers(task), model)


def filters(r: Rows) -> Iterator[Check]:
    for task in HARD:
        yield solved(r, task, SSM)
        for model in (TRIG, FIR):
            yield solved(r, layers(task), model)


def two_more(r: Rows) -> Iterator[Check]:
    for task in ("selective_copying", "induction_heads"):
        yield solved(r, task, SSM)


def optimised(r: Rows) -> Iterator[Check]:
    a = r.level("recall", SSM)
    yield check("each seed", "recall", lambda a: a.lowest >= T["solved"], a=a)
    yield rates(r, SSM)
    for model in STUDIES["recall-rates"].models[1:]:
        yield rates(r, model)._replace(counts=False)
    for scales in ("equal", "reversed"):
        yield solved(r, "recall-timescales", SSM, "timescales", timescales=scales)
    yield solved(r, "recall-pairs", SSM, "more pairs", pairs=8)


def rates(r: Rows, model: str) -> Check:
    levels = {lr: level for lr in r.values("recall-rates", "lr") if (level := r.level("recall-rates", model, lr=lr))}
    names = {"of": len(levels) or None, "low": min(levels, default=None), "high": max(levels, default=None)}
    good = sum(level.median >= T["solved"] for level in levels.values())
    return check("rates", "recall-rates", lambda good, of, **_: 2 * good >= of, good=good, model=model, **names)


def memory(r: Rows) -> Iterator[Check]:
    copying, recall = task_of("copying"), task_of("recall")
    needs = {"copying": copying.max_len * math.log2(copying.symbols), "recall": recall.pairs * math.log2(recall.values)}
    for task, needed in needs.items():
        state = mid(r.level(task, SSM), "state_size")
        values = {"task": task, "needed": needed, "state": None if state is None else 32 * state}
        yield check("bits", task, lambda needed, state, **_: needed >= T["bits"] * state, **values)
    levels = {
        poles: r.level("recall-poles", SSM, **{"ssm.poles": poles}) for poles in r.values("recall-poles", "ssm.poles")
    }
    few, many = (levels[f(levels)] if levels else None for f in (min, max))
    yield check("poles", "recall-poles", lambda a, b: b.median >= a.median + T["matters"], a=few, b=many)
    for model in STUDIES["copying-length"].models:
        level = r.level("copying-length", model)
        longer = {spec: mid(level, spec) for spec in STUDIES["copying-length"].tests}
        for spec, a in longer.items():
            lengths = f"{task_of(spec).min_len} to {task_of(spec).max_len}"
            yield fact("length", "copying-length", a=a, model=model, lengths=lengths)


def dependence(r: Rows) -> Iterator[Check]:
    n = largest(r)
    for model in SELECTING:
        a = mid(r.level("regression", model, n=n), "influence_top")
        yield check("on source", "regression", lambda a, **_: a >= T["on_source"], a=a, model=model)
    for model in CONTROLS:
        a = mid(r.level("regression", model, n=n), "influence_top")
        yield check("off source", "regression", lambda a, **_: a < T["on_source"], a=a, model=model)


def price(r: Rows) -> Iterator[Check]:
    for task in HARD:
        a, b = (mid(r.level(task, model), "cpu_seconds") for model in (SSM, "ssm"))
        yield check("price", task, lambda a, b, **_: a <= T["price"] * b, a=a, b=b, task=task)
    ratios = cost_ratios(r, "step seconds", SSM, "ssm + ssm")
    length, ratio = max(ratios.items(), default=(None, None))
    yield check("price of width", "cost", lambda ratio, **_: ratio <= T["price"], ratio=ratio, length=length)


NETWORKS = ("recall", "copying", "selective_copying", "selection")
LINEAR = {  # lengths of words, fed back -> whether one linear layer can copy them
    ((6,), False): True,
    ((6, 7), False): False,
    ((6, 12), False): True,
    ((3, 5), True): False,
    ((6, 9), True): False,
}


def provable(r: Rows) -> Iterator[Check]:
    for name in NETWORKS:
        row = next(r.where("constructions", model=name), None)
        values = {n: row and row[n] for n in ("wrong", "answers", "S", "size")}
        yield check("exact", "constructions", lambda wrong, **_: wrong == 0, task=name, **values)
    for (lengths, fed_back), possible in LINEAR.items():
        row = next(r.where("constructions", model="linear", lengths=lengths, fed_back=fed_back), None)
        values = {"lengths": " and ".join(map(str, lengths)), "sees": "its right answers" if fed_back else "blanks"}
        values |= {"margin": row and row["margin"], "required": "above 0" if possible else "0, none copies them"}
        yield check("linear", "constructions", lambda margin, can=possible, **_: (margin > 0) == can, **values)


CLAIMS: dict[str, Claim] = {
    "cost": Claim(("cost",), cost),
    "theory": Claim((), lambda r: ()),
    "essential": Claim((*SELECTION, *map(layers, HARD), "regression"), essential),
    "single": Claim((*HARD, "linear-copying"), single),
    "solved": Claim((*HARD, "recall-one-layer-long", "recall-pairs", "recall-pairs-16", "recall-poles"), efficiently),
    "regression": Claim(("regression", "regression-closer"), regression),
    "smoothness": Claim(("regression-two-smoothness",), smoothness),
    "provable": Claim(("constructions",), provable),
}
QUESTIONS: dict[str, Claim] = {
    "a": Claim(HARD, equal_budgets),
    "b": Claim(("recall-budget", "recall-pairs"), split),
    "c": Claim((*HARD, "copying-mixers", "recall-mixers", "layers-copying", "layers-recall"), any_filter),
    "d": Claim((*HARD, "copying-mixers", "recall-mixers", "recall-fnns"), attention_with_fnn),
    "e": Claim((*HARD, "layers-copying", "layers-recall"), lstm_and_mamba),
    "f": Claim((*HARD, "layers-copying", "layers-recall"), filters),
    "g": Claim(("selective_copying", "induction_heads"), two_more),
    "h": Claim(("recall", "recall-rates", "recall-timescales", "recall-pairs"), optimised),
    "i": Claim((*HARD, "recall-poles", "copying-length"), memory),
    "j": Claim(("regression",), dependence),
    "k": Claim((*HARD, "cost"), price),
}
