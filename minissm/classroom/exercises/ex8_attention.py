"""Exercise 8. Causal attention and its backward.                          points: 20   about 20 lines

    z_ts = q_t . k_s / sqrt(P)                                                                 #? scale=root fades=no
    z_ts = q_t . k_s / P                                                                       #? scale=full fades=no
    z_ts = q_t . k_s / sqrt(P) - (t - s) / 4        (a token that is far back counts less)     #? scale=root fades=yes
    z_ts = q_t . k_s / P - (t - s) / 4              (a token that is far back counts less)     #? scale=full fades=yes
    a_ts = softmax of z_ts over the s that token t sees          o_t = sum_s a_ts v_s

Token t sees itself and all tokens before it: s <= t.                                          #? sees=past
Token t sees itself and the 3 tokens before it: t - 3 <= s <= t.                               #? sees=window
q, k, v, o (B, L, P) real, L >= 1. attention_backward gets do, the gradient of a loss with respect to o, and returns the
gradients with respect to q, k and v. Scores of 1000 or -1000 give no nan. The results have the dtype of q, float64 or
float32. Don't write to the inputs.
"""
import numpy as np


def attention(q, k, v):
    """-> o"""
    #BEGIN
    return weights(q, k) @ v


def weights(q, k):
    """a (B, L, L): row t has the weights of token t."""
    z = q @ np.swapaxes(k, 1, 2) / scale(q)
    t = np.arange(q.shape[1])
    back = t[:, None] - t  # (L, L): so many tokens lies s before t
    z = z - back.astype(q.dtype) / 4  #? fades=yes
    hidden = back < 0
    hidden = hidden | (back > 3)  #? sees=window
    z = np.where(hidden, -np.inf, z)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def scale(q):
    return q.shape[2] ** 0.5  #? scale=root
    return q.shape[2]  #? scale=full
    #END


def attention_backward(q, k, v, do):
    """-> dq, dk, dv"""
    #BEGIN
    a = weights(q, k)
    da = do @ np.swapaxes(v, 1, 2)
    dz = a * (da - (a * da).sum(-1, keepdims=True))
    dz = dz / scale(q)
    return dz @ k, np.swapaxes(dz, 1, 2) @ q, np.swapaxes(a, 1, 2) @ do
    #END


#HINT 1 Draw the matrix a for L = 5 with its zeros. Each row sums to 1. Both functions need a: write a third one for it.
#HINT 2 Put -inf into the scores before the softmax, and subtract the largest score of each row before exp. For the
# backward pass, go through the forward pass from its end: o = a v, the softmax row by row, z from q and k. One line
# each.
#HINT 3 A product c = a b has da = dc b^T and db = a^T dc. A row of the softmax has dz_s = a_s (da_s - sum_r a_r da_r).
# The mask needs nothing in the backward pass: a is 0 there.

KIND = "write"
CHOICES = {"scale": {"root": "scores are divided by sqrt(P)", "full": "scores are divided by P"},
           "sees": {"past": "a token sees all up to itself", "window": "a token sees itself and the 3 before it"},
           "fades": {"no": "the distance does not count", "yes": "a score loses 1/4 for each token of distance"}}
LIBRARY = [{"scale": "root", "sees": "past", "fades": "no"}]
RETURNS = {"attention": ("o",), "attention_backward": ("dq", "dk", "dv")}

JACOBIAN = "a * (da - (a * da).sum(-1, keepdims=True))"
MISTAKES = {
    "the future is seen: there is no mask": {"hidden = back < 0": "hidden = back < -len(t)"},
    "the mask is strict: a token must see itself, too":
        {"hidden = back < 0": "hidden = (back <= 0) & (t[:, None] > 0)"},
    "the window is one token too long": {"back > 3": "back > 4"},
    "the window is one token too short": {"back > 3": "back > 2"},
    "the distance counts the wrong way: distant tokens get more weight": {"z - back.astype": "z + back.astype"},
    "the mask comes after the softmax: the rows no longer sum to 1":
        {"z = np.where(hidden, -np.inf, z)": "z = z * 1",
         "return e / e.sum(-1, keepdims=True)": "return np.where(hidden, 0, e / e.sum(-1, keepdims=True))"},
    "a masked score is 0, but exp(0) is 1: it must be -inf": {"np.where(hidden, -np.inf, z)": "np.where(hidden, 0, z)"},
    "exp of a large score overflows: subtract the largest of each row first":
        {"np.exp(z - z.max(-1, keepdims=True))": "np.exp(z)"},
    "the largest score of all is subtracted, not the largest of each row: a row far below gives 0 / 0":
        {"z.max(-1, keepdims=True)": "z.max()"},
    "the softmax runs over the queries, not over the keys": {"z.max(-1": "z.max(-2", "e.sum(-1": "e.sum(-2"},
    "the scores are not scaled in the forward pass":
        {"np.swapaxes(k, 1, 2) / scale(q)": "np.swapaxes(k, 1, 2)"},
    "float32 becomes float64, through an array without a dtype or a NumPy number such as np.sqrt(P)":
        {"np.where(hidden, -np.inf, z)": "np.where(hidden, np.full(z.shape, -np.inf), z)"},
    "the backward pass takes the softmax entry by entry: a (1 - a) is only the diagonal of its Jacobian":
        {JACOBIAN: "a * (1 - a) * da"},
    "the backward of the softmax lacks the sum over the row": {JACOBIAN: "a * da"},
    "the backward of the softmax is left out": {JACOBIAN: "da"},
    "the sum in the backward of the softmax runs over the queries": {"(a * da).sum(-1": "(a * da).sum(-2"},
    "the scale is missing in the backward pass": {"    dz = dz / scale(q)\n": ""},
    "dq and dk are swapped":
        {"return dz @ k, np.swapaxes(dz, 1, 2) @ q,": "return np.swapaxes(dz, 1, 2) @ q, dz @ k,"},
    "dk lacks a transpose": {"np.swapaxes(dz, 1, 2) @ q": "dz @ q"},
    "dv lacks a transpose": {"np.swapaxes(a, 1, 2) @ do": "a @ do"},
}
READ = {"float32": "", "backward": "docs/gradients.md, 'Attention'", "transpose": "docs/gradients.md, 'Attention'",
        "swapped": "docs/gradients.md, 'Attention'", "scaled": "tutorial 07, 'The library, and heads'",
        "": "tutorial 07, 'One look back'"}


def cases(rng, P):
    def draw(B, L, D, number=3, most=0, kind="f8"):
        arrays = [rng.normal(size=(B, L, D)).astype(kind) for _ in range(number)]
        if most:  # all scores of a row are near `most` or -`most`, so that no softmax is a 1 among zeros
            sign = 1 - 2 * (np.arange(L) % 2)
            arrays[0][..., 0], arrays[1][..., 0] = sign * most * (D if P["scale"] == "full" else D**.5), 1
        return arrays
    yield "one token", 1, "attention", draw(2, 1, 3)
    yield "one sequence", 2, "attention", draw(1, 7, 4)
    yield "a batch of two", 1, "attention", draw(2, 6, 3)
    yield "scores of 1000", 2, "attention", draw(2, 6, 4, most=1000)
    yield "backward, two tokens", 1, "attention_backward", draw(1, 2, 3, 4)
    yield "backward, one sequence", 5, "attention_backward", draw(1, 7, 3, 4)
    yield "backward, a batch of three", 3, "attention_backward", draw(3, 9, 4, 4)
    yield "backward, scores of 1000", 1, "attention_backward", draw(2, 6, 4, 4, most=1000)
    yield "float32 stays float32", 2, "attention_backward", draw(2, 5, 3, 4, kind="f4")
    yield "128 tokens, within the time limit", 2, "attention_backward", draw(1, 128, 64, 4)
