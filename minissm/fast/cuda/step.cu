// One step of diagonal.cu: h <- lam h + u,  y = Re sum_n c_n h_n, with a thread for each channel of each sequence.
// u, y (B, D) real; lam, c (N, D) and h (B, N, D) complex; h is updated in place. T is float or double.

#include "number.cuh"

template <typename T>
__global__ void step(const Complex<T> *lam, const Complex<T> *c, const T *u, Complex<T> *h, T *y, Size B, Size D, Size N) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= B * D) return;
    const Size d = i % D;
    h += i / D * N * D + d;
    T sum(0);
    for (Size n = 0; n < N; ++n) {
        const Complex<T> w = c[n * D + d], next = lam[n * D + d] * h[n * D] + u[i];
        h[n * D] = next;
        sum += w.re * next.re - w.im * next.im;
    }
    y[i] = sum;
}
