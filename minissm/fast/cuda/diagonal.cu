// h_t = lam h_{t-1} + u_t,  y_t = Re sum_n c_n h_{t,n}, with N complex poles in each channel of u (B, L, D), and its
// backward, with the gradient g_{t,n} of the loss with respect to the state h_{t,n}:
//
//     g_t = conj(c) dy_t + conj(lam) g_{t+1}        du_t = Re sum_n g_{t,n}        dh0 = conj(lam) g_1
//     dc = sum_t dy_t conj(h_t)                     dlam = sum_t g_t conj(h_{t-1})
//
// T is float or double. lam is used L times, so an error of its rounding to float would grow with each chunk. So the states
// between chunks, and the factors from one to the next, are in double precision: one product in Q steps.
//
// A thread has one channel of one sequence, in one part of L. It processes its part in chunks of Q steps. The inputs
// and outputs of a chunk stay in registers, and the poles are processed one after another. The state before each chunk is
// kept. The backward starts each chunk from that state and recomputes the others. So the (B, L, D, N) states are never
// all in memory, only one in Q of them.
//
// If there are few channels, the parts run in parallel. `ends` computes each part's final states from 0, `chain` turns
// them into the true states at the part boundaries, and `outputs` starts each part from these. Backward: `back_ends`,
// `chain`, `gradients`. If lam^(steps of a part) is large, it may overflow or lose digits where the recurrence doesn't.
// Then one thread of the channel, the first one (in the backward the last one), computes all of L alone.
//
// lam, c, jump, power (N, D), jump = lam^Q, power = lam^steps.
// kept (B, chunks + 1, N, D): the states before each chunk, and the last.

#include "number.cuh"

constexpr int Q = 16;

// The work of one thread: channel d of sequence `item`, in steps first .. last - 1.
template <typename T>
struct Thread {
    Size L, D, N, d, part, item, first, last;
    bool works;

    __device__ Thread(const Complex<double> *power, Size B, Size L, Size D, Size N, Size parts, Size steps, bool back)
        : L(L), D(D), N(N) {
        const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
        d = i % D;
        part = i / D % parts;
        item = i / D / parts;
        works = item < B;
        first = part * steps;
        last = smaller(first + steps, L);
        if (works && parts > 1 && grows(power)) {
            works = part == (back ? parts - 1 : 0);
            first = 0;
            last = L;
        }
    }

    __device__ bool grows(const Complex<double> *power) const {
        for (Size n = 0; n < N; ++n)
            if (!is_tame(power[n * D + d])) return true;
        return false;
    }

    __device__ Size at(Size t) const { return (item * L + t) * D + d; }  // in (B, L, D)
    __device__ Size state(Size rows, Size row) const { return (item * rows + row) * N * D + d; }  // in (B, rows, N, D)
};

// Q values of a channel from step t on, 0 after the end.
template <typename T>
__device__ void load(T (&into)[Q], const T *from, Size D, Size count) {
#pragma unroll
    for (int i = 0; i < Q; ++i) into[i] = i < count ? from[i * D] : T(0);
}

template <typename T>
__device__ void store(const T (&values)[Q], T *to, Size D, Size count) {
#pragma unroll
    for (int i = 0; i < Q; ++i)
        if (i < count) to[i * D] = values[i];
}

// The state on the other side of a chunk. `local` is its part from the inputs of the chunk alone. A chunk that is not
// whole, or whose factor is large (see is_tame), ends with `state`, the recurrence itself.
template <typename T>
__device__ Complex<double> across(Complex<double> jump, Complex<double> from, Complex<T> local, Complex<T> state, Size count) {
    return count < Q || !is_tame(jump) ? Complex<double>(state) : jump * from + Complex<double>(local);
}

template <typename T>
__global__ void ends(const Complex<T> *lam, const Complex<double> *jump, const Complex<double> *power, const T *u,
                     Complex<double> *kept, Size B, Size L, Size D, Size N, Size parts, Size steps) {
    const Thread<T> my(power, B, L, D, N, parts, steps, false);
    if (!my.works || my.last == L) return;  // no part starts at L
    Complex<double> *end = kept + my.state((L + Q - 1) / Q + 1, my.last / Q);
    for (Size t = my.first; t < my.last; t += Q) {
        T us[Q];
        load(us, u + my.at(t), D, Q);
        for (Size n = 0; n < N; ++n) {
            const Complex<T> l = lam[n * D + my.d];
            Complex<T> local(0);
#pragma unroll
            for (int i = 0; i < Q; ++i) local = l * local + us[i];
            end[n * D] = (t == my.first ? Complex<double>(0) : jump[n * D + my.d] * end[n * D]) + Complex<double>(local);
        }
    }
}

template <typename T>
__global__ void outputs(const Complex<T> *lam, const Complex<T> *c, const Complex<double> *jump,
                        const Complex<double> *power, const T *u, T *y, Complex<double> *kept, Size B, Size L, Size D, Size N, Size parts, Size steps) {
    const Thread<T> my(power, B, L, D, N, parts, steps, false);
    if (!my.works) return;
    const Size chunks = (L + Q - 1) / Q;
    for (Size t = my.first; t < my.last; t += Q) {
        const Size count = my.last - t;
        Complex<double> *before = kept + my.state(chunks + 1, t / Q), *after = before + N * D;
        const bool keep = t + Q < my.last || my.last == L;  // the state before the next part comes from `chain`
        T us[Q], ys[Q] = {};
        load(us, u + my.at(t), D, count);
        for (Size n = 0; n < N; ++n) {
            const Complex<T> l = lam[n * D + my.d], w = c[n * D + my.d];
            Complex<T> h(before[n * D]), local(0);
#pragma unroll
            for (int i = 0; i < Q; ++i) {
                if (i < count) h = l * h + us[i];
                local = l * local + us[i];
                ys[i] += w.re * h.re - w.im * h.im;  // values after the end are not stored
            }
            if (keep) after[n * D] = across(jump[n * D + my.d], before[n * D], local, h, count);
        }
        store(ys, y + my.at(t), D, count);
    }
}

// carry (B, parts, N, D): the gradients of the states at the ends of the parts. That of the last part is an input, and
// only the last part starts from it: that part may be shorter than the others, so `power` does not apply to it.
template <typename T>
__global__ void back_ends(const Complex<T> *lam, const Complex<T> *c, const Complex<double> *jump,
                          const Complex<double> *power, const T *dy, Complex<double> *carry, Size B, Size L, Size D, Size N, Size parts, Size steps) {
    const Thread<T> my(power, B, L, D, N, parts, steps, true);
    if (!my.works || my.first == 0) return;
    Complex<double> *start = carry + my.state(parts, my.part - 1);
    const Size chunks = (my.last - my.first + Q - 1) / Q;
    for (Size chunk = chunks - 1; chunk >= 0; --chunk) {
        const Size t = my.first + chunk * Q, count = my.last - t;
        T dys[Q];
        load(dys, dy + my.at(t), D, count);
        for (Size n = 0; n < N; ++n) {
            const Complex<T> l = conj(lam[n * D + my.d]), w = conj(c[n * D + my.d]);
            Complex<double> from(0);
            if (chunk < chunks - 1) from = start[n * D];
            else if (my.last == L) from = start[(N + n) * D];
            Complex<T> g(from), local(0);
#pragma unroll
            for (int i = Q - 1; i >= 0; --i) {
                if (i < count) g = l * (g + w * dys[i]);
                local = l * (local + w * dys[i]);
            }
            start[n * D] = across(conj(jump[n * D + my.d]), from, local, g, count);
        }
    }
}

// dlam, dc (B, parts, N, D), 0 before: each thread's part of a sum.  dh0 (B, N, D).
template <typename T>
__global__ void gradients(const Complex<T> *lam, const Complex<T> *c, const Complex<double> *jump,
                          const Complex<double> *power, const T *u, const T *dy, const Complex<double> *kept,
                          Complex<double> *carry, Complex<double> *dlam, Complex<double> *dc, T *du, Complex<double> *dh0, Size B, Size L, Size D, Size N, Size parts, Size steps) {
    const Thread<T> my(power, B, L, D, N, parts, steps, true);
    if (!my.works) return;
    const Size mine = my.state(parts, my.part);
    const Size chunks = (L + Q - 1) / Q, last = (my.last - 1) / Q;
    for (Size chunk = last; chunk >= my.first / Q; --chunk) {
        const Size t = chunk * Q, count = my.last - t;
        const Complex<double> *before = kept + my.state(chunks + 1, chunk);
        T us[Q], dys[Q], dus[Q] = {};
        load(us, u + my.at(t), D, count);
        load(dys, dy + my.at(t), D, count);
        for (Size n = 0; n < N; ++n) {
            const Complex<T> l = lam[n * D + my.d], w = conj(c[n * D + my.d]);
            const Size at = mine + n * D;
            Complex<T> hs[Q + 1], g(carry[at]), local(0), dl(0), dw(0);
            hs[0] = Complex<T>(before[n * D]);  // hs[i]: the state before step i
#pragma unroll
            for (int i = 0; i < Q; ++i) hs[i + 1] = l * hs[i] + us[i];
#pragma unroll
            for (int i = Q - 1; i >= 0; --i) {
                local = conj(l) * (local + w * dys[i]);
                if (i >= count) continue;
                g = g + w * dys[i];
                if (g.re != 0 || g.im != 0) dl = dl + g * conj(hs[i]);  // 0 times inf would be nan
                if (dys[i] != 0) dw = dw + conj(hs[i + 1]) * dys[i];
                dus[i] += g.re;
                g = conj(l) * g;
            }
            carry[at] = across(conj(jump[n * D + my.d]), carry[at], local, g, count);
            dlam[at] = dlam[at] + Complex<double>(dl);
            dc[at] = dc[at] + Complex<double>(dw);
        }
        store(dus, du + my.at(t), D, count);
    }
    if (my.first) return;
    for (Size n = 0; n < N; ++n) dh0[my.state(1, 0) + n * D] = carry[mine + n * D];
}

// states (B, rows, N, D): x_i += power x_{i-1}, from row `first` on, which is final already, in strides of `step` rows.
template <typename T>
__global__ void chain(const Complex<double> *power, Complex<double> *states, Size B, Size rows, Size width, Size first, Size step,
                      Size count) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= B * width) return;
    Complex<double> *at = states + (i / width * rows + first) * width + i % width;
    Complex<double> state = *at;
    for (Size k = 1; k < count; ++k) {
        at += step * width;
        state = power[i % width] * state + *at;
        *at = state;
    }
}
