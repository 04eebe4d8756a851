// One step of diagonal.cu: h <- lam h + u,  y = Re sum_n c_n h_n, with a thread for each channel of each sequence.
// u, y (B, D) real; lam, c (N, D) and h, exact (B, N, D) complex; h and exact are updated in place. T is float or double.
// exact is the state in double precision. It holds wherever it is h, rounded; elsewhere the caller has written to h.

#include "number.cuh"

template <typename T>
__global__ void step(const Complex<double> *lam, const Complex<T> *c, const T *u, Complex<T> *h, Complex<double> *exact,
                     T *y, Size B, Size D, Size N) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= B * D) return;
    const Size d = i % D;
    h += i / D * N * D + d;
    exact += i / D * N * D + d;
    T sum(0);
    for (Size n = 0; n < N; ++n) {
        const Complex<T> w = c[n * D + d], given = h[n * D];
        Complex<double> next = exact[n * D];
        if (T(next.re) != given.re || T(next.im) != given.im) next = Complex<double>(given);
        exact[n * D] = next = lam[n * D + d] * next + double(u[i]);
        const Complex<T> rounded = h[n * D] = Complex<T>(next);
        sum += w.re * rounded.re - w.im * rounded.im;
    }
    y[i] = sum;
}
