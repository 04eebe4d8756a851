"""lstm for NumPy: one hyperbolic tangent for all gates of a step, and all that does not wait for a step at once.

Arrays are time-major, so that a step is one run of memory. In the backward only dh and dc pass from step to step: what
they are multiplied by, the slopes of the gates, is computed for all steps before.
"""

import numpy as np

from ..layers import column_sums, flat


def lstm(p: dict, x: np.ndarray, state: dict) -> tuple:
    """[i f o g] = [sigmoid sigmoid sigmoid tanh](x_t w_x + h_{t-1} w_h + b);  shapes and gradients as in lstm.py."""
    (B, L, _), H = x.shape, len(p["w_h"])
    half = np.repeat(np.array([0.5, 0.5, 0.5, 1], x.dtype), H)  # sigmoid(z) = (1 + tanh(z / 2)) / 2
    w_h, rows = half * p["w_h"], flat(np.ascontiguousarray(x.swapaxes(0, 1)))
    gates = (rows @ (half * p["w_x"]) + half * p["b"]).reshape(L, B, 4, H)
    hs, cs = np.empty((2, L + 1, B, H), x.dtype)
    hs[0], cs[0] = state["h"], state["c"]
    ms, product = np.empty((L, B, H), x.dtype), np.empty((B, 4 * H), x.dtype)
    for z, h, c, m, h_next, c_next in zip(gates, hs, cs, ms, hs[1:], cs[1:], strict=False):
        z += np.matmul(h, w_h, out=product).reshape(z.shape)
        np.tanh(z, out=z)
        z[:, :3] *= 0.5
        z[:, :3] += 0.5
        np.multiply(z[:, 1], c, out=c_next)
        c_next += z[:, 0] * z[:, 3]
        np.tanh(c_next, out=m)
        np.multiply(z[:, 2], m, out=h_next)

    def backward(dy: np.ndarray, dstate: dict) -> tuple:
        i, f, o, g = (gates[:, :, k] for k in range(4))
        dz = np.empty_like(gates)  # first the slopes, with what else of a gate does not come from later steps
        np.multiply(gates, 1 - gates, out=dz)
        np.subtract(1, g * g, out=dz[:, :, 3])
        for k, other in enumerate((g, cs[:-1], ms, i)):
            dz[:, :, k] *= other
        slopes = o * (1 - ms * ms)
        dh, dc = dstate["h"].copy(), dstate["c"].copy()
        w_back = np.ascontiguousarray(p["w_h"].T)
        for t in range(L - 1, -1, -1):
            dh += dy[:, t]
            dc += dh * slopes[t]
            dz[t, :, 2] *= dh
            dz[t, :, :2] *= dc[:, None]
            dz[t, :, 3] *= dc
            np.matmul(dz[t].reshape(B, -1), w_back, out=dh)
            dc *= f[t]
        dzs = dz.reshape(L * B, -1)
        dp = {"w_x": rows.T @ dzs, "w_h": flat(hs[:-1]).T @ dzs, "b": column_sums(dzs)}
        dx = (dzs @ p["w_x"].T).reshape(L, B, -1).swapaxes(0, 1)
        return dp, np.ascontiguousarray(dx), {"h": dh, "c": dc}

    return np.ascontiguousarray(hs[1:].swapaxes(0, 1)), {"h": hs[-1].copy(), "c": cs[-1].copy()}, backward
