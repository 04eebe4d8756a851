// Enough of CUDA to run a kernel on a processor: blocks one after another, the threads of a block as contexts that take
// turns at each barrier, in an order that a missing barrier shows in: now this one, now that one comes first.
// With SHIM_THREADS they are threads of the system, between which a sanitizer sees races; that takes ten times as long.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <math.h>  // tanh of a float is a float, as in CUDA
#include <utility>
#ifdef SHIM_THREADS
#include <barrier>
#include <memory>
#include <thread>
#include <vector>
#else
#include <ucontext.h>
#endif

struct dim3 { unsigned x = 1, y = 1, z = 1; };
inline dim3 blockDim, gridDim;
inline thread_local dim3 threadIdx, blockIdx;
inline int shim_any;

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static  // one block at a time: all its threads see the one copy

template <class F>
void shim_one(const F &kernel, unsigned i, unsigned b) {
    threadIdx = {i % blockDim.x, i / blockDim.x}, blockIdx = {b};
    kernel();
}

#ifdef SHIM_THREADS
inline std::unique_ptr<std::barrier<>> shim_barrier;
inline void __syncthreads() { shim_barrier->arrive_and_wait(); }

template <class F>
void shim_together(const F &kernel, unsigned count) {
    shim_barrier = std::make_unique<std::barrier<>>(count);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            for (unsigned b = 0; b < gridDim.x; ++b) shim_one(kernel, i, b), __syncthreads();
        });
    for (auto &thread : threads) thread.join();
}
#else
constexpr unsigned SHIM_MOST = 1024, SHIM_STACK = 1 << 16;
inline ucontext_t shim_main, shim_contexts[SHIM_MOST];
inline char *shim_stacks = new char[std::size_t(SHIM_MOST) * SHIM_STACK];
inline unsigned shim_now, shim_block, shim_left;
inline const void *shim_kernel;

inline void __syncthreads() { swapcontext(&shim_contexts[shim_now], &shim_main); }

template <class F>
void shim_fiber() {
    shim_one(*static_cast<const F *>(shim_kernel), shim_now, shim_block);
    --shim_left;
}

template <class F>
void shim_together(const F &kernel, unsigned count) {
    shim_kernel = &kernel;
    for (shim_block = 0; shim_block < gridDim.x; ++shim_block) {
        for (unsigned i = 0; i < count; ++i) {
            auto &context = shim_contexts[i];
            getcontext(&context);
            context.uc_stack.ss_sp = shim_stacks + std::size_t(i) * SHIM_STACK;
            context.uc_stack.ss_size = SHIM_STACK;
            context.uc_link = &shim_main;
            makecontext(&context, shim_fiber<F>, 0);
        }
        shim_left = count;
        for (unsigned phase = 0; shim_left; ++phase) {
            for (unsigned i = 0; i < count; ++i) {
                shim_now = (i * 37 + phase * 101) % count;  // 37 divides no size of a block
                if (phase % 2) shim_now = count - 1 - shim_now;
                threadIdx = {shim_now % blockDim.x, shim_now / blockDim.x}, blockIdx = {shim_block};
                swapcontext(&shim_main, &shim_contexts[shim_now]);
            }
            if (shim_left != 0 && shim_left != count) std::puts("a barrier that not all threads reach"), std::abort();
        }
    }
}
#endif

inline int __syncthreads_or(int mine) {
    if (mine) __atomic_store_n(&shim_any, 1, __ATOMIC_RELAXED);
    __syncthreads();
    const int any = __atomic_load_n(&shim_any, __ATOMIC_RELAXED);
    __syncthreads();
    __atomic_store_n(&shim_any, 0, __ATOMIC_RELAXED);  // nobody asks again before the next barrier of the kernel
    __syncthreads();
    return any;
}

template <class... A, std::size_t... I>
void shim_call(void (*kernel)(A...), void **given, std::index_sequence<I...>) {
    kernel(*static_cast<A *>(given[I])...);
}

// A kernel whose threads wait for one another gets a thread for each of a block; for another, one is enough.
template <class... A>
void shim_launch(void (*kernel)(A...), void **given, const unsigned *grid, const unsigned *block, bool together) {
    gridDim = {grid[0]}, blockDim = {block[0], block[1]};
    const auto call = [=] { shim_call(kernel, given, std::index_sequence_for<A...>{}); };
    const unsigned count = block[0] * block[1];
    if (together) return shim_together(call, count);
    for (unsigned b = 0; b < grid[0]; ++b)
        for (unsigned i = 0; i < count; ++i) shim_one(call, i, b);
}
