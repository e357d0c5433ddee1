// Just enough of CUDA C to run this project's kernels on a CPU, one thread at a time.
//
// Every thread of a block is a fiber. A fiber runs until it has to wait for the others of its
// warp (shuffles, votes, __syncwarp) or of its block (__syncthreads), and then the next one
// runs. Blocks run one after the other, so atomics need no care. It is strict where a GPU is
// undefined: blocks are whole warps, masks are full, and a warp that waits for a thread which
// has left the kernel, or waits elsewhere, is an error and not a hang.
//
// It proves indices, arithmetic and control flow. It says nothing about speed, memory
// coherence or races.
#pragma once
#include <csetjmp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct Dim3 { unsigned x = 1, y = 1, z = 1; };
static Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

constexpr unsigned WARP = 32, STACK = 128 * 1024;

// A fiber is entered once by way of its context, which asks the kernel of the operating system;
// from then on by jumps, which do not. It takes part in one block after another.
struct Fiber {
    ucontext_t context;
    jmp_buf resume;
    bool entered = false;
    std::unique_ptr<char[]> stack{new char[STACK]};
    Dim3 index;
    unsigned place = 0;
    unsigned long long warp_waits = 0, block_waits = 0;
    bool ended = false;
};

static std::vector<Fiber> fibers;
static std::vector<unsigned long long> warp_arrivals;
static unsigned long long block_arrivals;
static unsigned running, alive;
static bool progressed;
static std::string fault;
static jmp_buf scheduler;
static Dim3 made{0, 0, 0};  // the shape that the fibers were made for
static const std::function<void()>* body;
alignas(16) static unsigned char slots[2][1024][16];

inline void pause_fiber() {
    if (!_setjmp(fibers[running].resume)) _longjmp(scheduler, 1);
}

inline void run_fiber() {
    Fiber& fiber = fibers[running];
    threadIdx = fiber.index;
    if (_setjmp(scheduler)) return;
    if (fiber.entered) _longjmp(fiber.resume, 1);
    fiber.entered = true;
    setcontext(&fiber.context);
}

inline void yield_until(const unsigned long long& arrivals, unsigned long long wanted) {
    while (arrivals < wanted) pause_fiber();
    progressed = true;
}

inline void wait_for_warp(unsigned mask) {
    if (mask != 0xffffffffu) { fault = "a partial mask"; }
    Fiber& self = fibers[running];
    unsigned long long& arrivals = warp_arrivals[self.place / WARP];
    ++arrivals;
    progressed = true;
    yield_until(arrivals, ++self.warp_waits * WARP);
}

inline void wait_for_block() {
    Fiber& self = fibers[running];
    ++block_arrivals;
    progressed = true;
    yield_until(block_arrivals, ++self.block_waits * fibers.size());
}

template <class T> T exchange(unsigned mask, T value, unsigned lane) {
    static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes here");
    Fiber& self = fibers[running];
    const unsigned turn = self.warp_waits & 1;
    std::memcpy(slots[turn][self.place], &value, sizeof(T));
    wait_for_warp(mask);
    T other;
    std::memcpy(&other, slots[turn][self.place / WARP * WARP + lane % WARP], sizeof(T));
    return other;
}

inline unsigned lane() { return fibers[running].place % WARP; }

inline void enter() {
    for (;;) {
        (*body)();
        fibers[running].ended = true;
        progressed = true;
        --alive;
        pause_fiber();
    }
}

// Fibers that wait for their next block are as good as new; after a fault they are stuck.
inline void make_fibers(unsigned count) {
    if (alive == 0 && made.x == blockDim.x && made.y == blockDim.y && made.z == blockDim.z) return;
    made = blockDim;
    fibers = std::vector<Fiber>(count);
    for (unsigned i = 0; i < count; ++i) {
        Fiber& fiber = fibers[i];
        fiber.place = i;
        fiber.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
    }
}

inline void run_block() {
    const unsigned count = fibers.size();
    warp_arrivals.assign(count / WARP, 0);
    block_arrivals = 0;
    for (Fiber& fiber : fibers) {
        fiber.warp_waits = fiber.block_waits = 0;
        fiber.ended = false;
    }
    for (alive = count; alive && fault.empty();) {
        progressed = false;
        for (running = 0; running < count; ++running)
            if (!fibers[running].ended) run_fiber();
        if (!progressed && fault.empty()) fault = "threads wait for others that never come";
    }
}

inline const char* launch(const unsigned* grid, const unsigned* block,
                          const std::function<void()>& kernel) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    const unsigned count = block[0] * block[1] * block[2];
    fault.clear();
    if (count == 0 || count > 1024 || count % WARP) return "a block must be 1 to 32 whole warps";
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return "an empty grid";
    if (grid[1] > 65535 || grid[2] > 65535) return "more than 65535 blocks in y or z";
    make_fibers(count);
    body = &kernel;
    for (unsigned z = 0; z < grid[2] && fault.empty(); ++z)
        for (unsigned y = 0; y < grid[1] && fault.empty(); ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                run_block();
                if (!fault.empty()) break;
            }
    body = nullptr;
    return fault.empty() ? nullptr : fault.c_str();
}

}  // namespace emulation

template <class T> T __shfl_sync(unsigned mask, T value, int lane) {
    return emulation::exchange(mask, value, lane);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits) {
    return emulation::exchange(mask, value, emulation::lane() ^ bits);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, int by) {
    const unsigned lane = emulation::lane();
    return emulation::exchange(mask, value, lane + by < emulation::WARP ? lane + by : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, int by) {
    const unsigned lane = emulation::lane();
    return emulation::exchange(mask, value, lane >= unsigned(by) ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    unsigned votes = 0;
    const unsigned mine = predicate ? 1u << emulation::lane() : 0u;
    for (unsigned lane = 0; lane < emulation::WARP; ++lane)
        votes |= emulation::exchange(mask, mine, lane);
    return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) == 0xffffffffu;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::wait_for_warp(mask); }
inline void __syncthreads() { emulation::wait_for_block(); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(bits) : 32; }

template <class T> T __ldg(const T* at) { return *at; }
template <class T, class U> T atomicAdd(T* at, U value) { T was = *at; *at += value; return was; }
template <class T, class U> T atomicOr(T* at, U value) { T was = *at; *at |= value; return was; }
template <class T, class U> T atomicMax(T* at, U value) {
    T was = *at; if (T(value) > was) *at = value; return was;
}
template <class T, class U> T atomicMin(T* at, U value) {
    T was = *at; if (T(value) < was) *at = value; return was;
}
inline long long __double2ll_rn(double value) { return std::llrint(value); }
inline double __ll2double_rn(long long value) { return double(value); }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
using std::fabs; using std::fma; using std::fmaf; using std::fmax; using std::fmin;
using std::log; using std::sqrt; using std::isinf; using std::isnan;
