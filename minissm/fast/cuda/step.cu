// One step of diagonal.cu: h <- lam h + u,  y = Re sum_n c_n h_n, with a thread for each channel of each sequence.
// u, y (B, D) real; lam, c (N, D) and h (B, N, D) complex; h is updated in place. T is float or double; lam and h are double,
// or a long memory would lose digits in each step.

#include "number.cuh"

template <typename T>
__global__ void step(const Complex<double> *lam, const Complex<T> *c, const T *u, Complex<double> *h, T *y,
                     Size B, Size D, Size N) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= B * D) return;
    const Size d = i % D;
    h += i / D * N * D + d;
    T sum(0);
    for (Size n = 0; n < N; ++n) {
        const Complex<double> next = h[n * D] = lam[n * D + d] * h[n * D] + double(u[i]);
        const Complex<T> w = c[n * D + d], rounded(next);
        sum += w.re * rounded.re - w.im * rounded.im;
    }
    y[i] = sum;
}
