// y = x s,  s = (1 + tanh(ONCE x + CUBED x^3)) / 2,  and its backward, with a thread for each number.
// x, y, dy, dx (n,). Memory limits the speed: gelu reads x and writes y; gelu_backward reads x and dy, recomputes s and
// writes dx. As in layers.py, no number beyond FAR is multiplied, and nan stays nan (all comparisons are false).

#include "number.cuh"

constexpr double ONCE = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double CUBED = ONCE * 0.044715;
constexpr double FAR = 50;

template <typename T>
struct Gate {
    T low, near, s;  // x, at least -FAR; x, between -FAR and FAR

    __device__ explicit Gate(T x) {
        low = x < T(-FAR) ? T(-FAR) : x;
        near = low > T(FAR) ? T(FAR) : low;
        s = T(0.5) * tanh(near * (T(ONCE) + T(CUBED) * (near * near))) + T(0.5);
    }
};

template <typename T>
__global__ void gelu(const T *x, T *y, Size n) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= n) return;
    const Gate<T> gate(x[i]);
    y[i] = gate.low * gate.s;
}

// dx = dy (s + x s (1 - s) (2 ONCE + 6 CUBED x^2))
template <typename T>
__global__ void gelu_backward(const T *x, const T *dy, T *dx, Size n) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= n) return;
    const Gate<T> gate(x[i]);
    const T near = gate.near, s = gate.s;
    dx[i] = dy[i] * (s + near * s * (1 - s) * (T(2 * ONCE) + T(6 * CUBED) * (near * near)));
}
