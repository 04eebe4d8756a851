// Enough of CUDA to run a kernel on a processor: blocks one after another, the threads of a block as threads.
#pragma once
#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

struct dim3 { unsigned x = 1, y = 1, z = 1; };
inline dim3 blockDim, gridDim;
inline thread_local dim3 threadIdx, blockIdx;
inline std::unique_ptr<std::barrier<>> shim_barrier;
inline std::atomic<int> shim_any;

inline void __syncthreads() { shim_barrier->arrive_and_wait(); }
inline int __syncthreads_or(int mine) {
    if (mine) shim_any = 1;
    __syncthreads();
    const int any = shim_any;
    __syncthreads();
    shim_any = 0;  // everyone writes the same, and nobody asks again before the next barrier of the kernel
    __syncthreads();
    return any;
}

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static  // one block at a time: all its threads see the one copy

// A kernel whose threads wait for one another gets a thread for each of a block; for another, one is enough.
template <class... A, std::size_t... I>
void shim_run(void (*kernel)(A...), void **given, const unsigned *grid, const unsigned *block, bool together,
              std::index_sequence<I...>) {
    const std::tuple<A...> arguments{*static_cast<A *>(given[I])...};
    gridDim = {grid[0]}, blockDim = {block[0], block[1]};
    auto one = [&](unsigned x, unsigned y, unsigned b) {
        threadIdx = {x, y}, blockIdx = {b};
        kernel(std::get<I>(arguments)...);
    };
    if (!together) {
        for (unsigned b = 0; b < grid[0]; ++b)
            for (unsigned y = 0; y < block[1]; ++y)
                for (unsigned x = 0; x < block[0]; ++x) one(x, y, b);
        return;
    }
    shim_barrier = std::make_unique<std::barrier<>>(block[0] * block[1]);
    std::vector<std::thread> threads;
    for (unsigned y = 0; y < block[1]; ++y)
        for (unsigned x = 0; x < block[0]; ++x)
            threads.emplace_back([&, x, y] {
                for (unsigned b = 0; b < grid[0]; ++b) one(x, y, b), __syncthreads();
            });
    for (auto &thread : threads) thread.join();
}

template <class... A>
void shim_launch(void (*kernel)(A...), void **given, const unsigned *grid, const unsigned *block, bool together) {
    shim_run(kernel, given, grid, block, together, std::index_sequence_for<A...>{});
}
