// h_t = a_t h_{t-1} + b_t in each channel of (B, L, C), and its backward, which is the same recurrence from the last t on.
//
// A block has LANES neighbouring channels, so that its reads are contiguous, and PIECES pieces of time. It goes through
// time in tiles. In a tile each thread reads STEPS factors and terms, once, and computes two numbers: the product of its
// factors, and its end, the state that its steps reach from 0. From the products and ends of the earlier pieces it
// computes its true initial state, and repeats its steps in registers. So a and b are read once, h is written once.
//
// If there are too few channels to fill a GPU, L is cut into parts that run in parallel. `forward_ends` (in the backward
// `backward_ends`) computes the product and the end of each part, `chain` turns them into the true states at the part
// boundaries, and the scan starts each part from these. Then a and b are read twice.
//
// A large product may overflow or lose digits where the recurrence doesn't. A tile with such a product, or with an end
// that is not finite, is computed step by step. If a part has one, the block of the first part computes all of L alone.

#include "number.cuh"

constexpr int LANES = 32;
constexpr int PIECES = 8;
constexpr int STEPS = 8;

// The reads and writes of a scan at step s, in one channel of one sequence. `factor`, `term` and `before` only read;
// `turned` and `put` compute. So all reads of a tile are issued before the first one is needed.

template <typename T>
struct Forward {
    const T *a, *b;
    T *h;
    Size C;

    __device__ T factor(Size s) const { return a[s * C]; }
    __device__ T turned(T factor) const { return factor; }
    __device__ T term(Size s) const { return b[s * C]; }
    __device__ T before(Size) const { return T(0); }
    __device__ void put(Size s, T state, T) const { h[s * C] = state; }
};

// g_t = dh_t + conj(a_{t+1}) g_{t+1},  db_t = g_t,  da_t = g_t conj(h_{t-1}),  t = L - 1 - s
template <typename T>
struct Backward {
    const T *a, *dh, *h, *h0;
    T *da, *db;
    Size C, L;

    __device__ T factor(Size s) const { return s ? a[(L - s) * C] : T(1); }
    __device__ T turned(T factor) const { return conj(factor); }
    __device__ T term(Size s) const { return dh[(L - 1 - s) * C]; }
    __device__ T before(Size s) const { return s < L - 1 ? h[(L - 2 - s) * C] : *h0; }
    __device__ void put(Size s, T g, T before) const {
        db[(L - 1 - s) * C] = g;
        da[(L - 1 - s) * C] = g * conj(before);
    }
};

// Steps first .. last - 1 from `state` on. All threads of a block call it, also those without a channel (not `there`).
template <typename T, typename Way>
__device__ void scan(Way way, T state, Size first, Size last, bool there) {
    __shared__ T products[PIECES][LANES], ends[PIECES][LANES];
    const int lane = threadIdx.x, piece = threadIdx.y;
    for (Size tile = first; tile < last; tile += PIECES * STEPS) {
        const Size begin = tile + piece * STEPS;
        const Size count = there ? last - begin : 0;  // my steps i < count are in the sequence
        T factors[STEPS], terms[STEPS], before[STEPS];
#pragma unroll
        for (int i = 0; i < STEPS; ++i) {
            factors[i] = i < count ? way.factor(begin + i) : T(1);
            terms[i] = i < count ? way.term(begin + i) : T(0);
            before[i] = i < count ? way.before(begin + i) : T(0);
        }
        T product(1), end(0);
#pragma unroll
        for (int i = 0; i < STEPS; ++i) {
            factors[i] = way.turned(factors[i]);
            product = product * factors[i];
            end = factors[i] * end + terms[i];
        }
        products[piece][lane] = product;
        ends[piece][lane] = end;
        T mine = state;  // the state before my steps; `state` becomes the one after the tile
        if (__syncthreads_or(!is_tame(product) || !is_finite(end))) {
#pragma unroll 1
            for (int p = 0; p < PIECES; ++p) {
                if (p == piece) {
                    mine = state;
                    for (int i = 0; i < STEPS; ++i) state = factors[i] * state + terms[i];
                    ends[piece][lane] = state;
                }
                __syncthreads();
                state = ends[p][lane];
            }
        } else {
            for (int p = 0; p < PIECES; ++p) {
                if (p == piece) mine = state;
                state = products[p][lane] * state + ends[p][lane];
            }
        }
#pragma unroll
        for (int i = 0; i < STEPS; ++i) {
            mine = factors[i] * mine + terms[i];
            if (i < count) way.put(begin + i, mine, before[i]);
        }
        __syncthreads();  // before the next tile writes products and ends
    }
}

// The channels, part and sequence of a block; blocks are numbered in this order.
struct Block {
    Size c, part, item;
    bool there;

    __device__ Block(Size C, Size parts) {
        const Size tiles = (C + LANES - 1) / LANES;
        c = blockIdx.x % tiles * LANES + threadIdx.x;
        part = blockIdx.x / tiles % parts;
        item = blockIdx.x / tiles / parts;
        there = c < C;
    }
};

// starts (B, parts, C): the states before the parts.  alone (B, C): not 0 where the parts can't run in parallel.
template <typename T, typename Way>
__device__ void scan_part(Way way, Block at, const T *starts, const char *alone, Size L, Size C, Size parts, Size steps) {
    Size first = at.part * steps, last = smaller(first + steps, L);
    if (parts > 1 && __syncthreads_or(at.there && alone[at.item * C + at.c])) {
        if (at.part) return;
        last = L;
    }
    scan(way, at.there ? starts[(at.item * parts + at.part) * C + at.c] : T(0), first, last, at.there);
}

// At least two blocks on a multiprocessor: while one waits for its reads, the other computes and writes.
template <typename T>
__launch_bounds__(LANES *PIECES, 2) __global__
void forward(const T *a, const T *b, const T *starts, const char *alone, T *h, Size L, Size C, Size parts, Size steps) {
    const Block at(C, parts);
    const Size offset = at.item * L * C + at.c;
    scan_part(Forward<T>{a + offset, b + offset, h + offset, C}, at, starts, alone, L, C, parts, steps);
}

template <typename T>
__launch_bounds__(LANES *PIECES, 2) __global__
void backward(const T *a, const T *dh, const T *h, const T *h0, const T *starts, const char *alone, T *da, T *db, Size L,
              Size C, Size parts, Size steps) {
    const Block at(C, parts);
    const Size offset = at.item * L * C + at.c;
    const Backward<T> way{a + offset, dh + offset, h + offset, h0 + at.item * C + at.c, da + offset, db + offset, C, L};
    scan_part(way, at, starts, alone, L, C, parts, steps);
}

// For all parts but the last, one thread a channel. Product and end are stored at the next part, which needs them.
template <typename T, typename Way>
__device__ void end_of_part(Way way, Block at, T *products, T *starts, Size C, Size parts, Size steps) {
    if (!at.there || at.part == parts - 1) return;
    T product(1), end(0);
#pragma unroll 8
    for (Size s = at.part * steps; s < (at.part + 1) * steps; ++s) {
        const T factor = way.turned(way.factor(s));
        product = product * factor;
        end = factor * end + way.term(s);
    }
    const Size next = (at.item * parts + at.part + 1) * C + at.c;
    products[next] = product;
    starts[next] = end;
}

template <typename T>
__global__ void forward_ends(const T *a, const T *b, T *products, T *starts, Size L, Size C, Size parts, Size steps) {
    const Block at(C, parts);
    const Size offset = at.item * L * C + at.c;
    end_of_part(Forward<T>{a + offset, b + offset, nullptr, C}, at, products, starts, C, parts, steps);
}

template <typename T>
__global__ void backward_ends(const T *a, const T *dh, T *products, T *starts, Size L, Size C, Size parts, Size steps) {
    const Block at(C, parts);
    const Size offset = at.item * L * C + at.c;
    const Backward<T> way{a + offset, dh + offset, nullptr, nullptr, nullptr, nullptr, C, L};
    end_of_part(way, at, products, starts, C, parts, steps);
}

// From the state before the first part, the states before the others, one thread a channel.
template <typename T>
__global__ void chain(const T *products, T *starts, char *alone, Size B, Size C, Size parts) {
    const Size i = blockIdx.x * Size(blockDim.x) + threadIdx.x;
    if (i >= B * C) return;
    const Size offset = i / C * parts * C + i % C;
    T state = starts[offset];
    bool grows = false;
    for (Size part = 1; part < parts; ++part) {
        const Size at = offset + part * C;
        grows = grows || !is_tame(products[at]) || !is_finite(starts[at]);
        state = products[at] * state + starts[at];
        starts[at] = state;
    }
    alone[i] = grows;
}
