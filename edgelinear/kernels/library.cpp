// What the shared library exports: the kernels of each instruction set that it was built with.
#include "kernels.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef EDGELINEAR_X86
#include <cpuid.h>

namespace avx512 {
int64_t run(const Call&);
int64_t pass(const Pass&);
int64_t copy(const Copy&);
}
namespace avx2 {
int64_t run(const Call&);
int64_t pass(const Pass&);
int64_t copy(const Copy&);
}
#endif
namespace portable {
int64_t run(const Call&);
int64_t pass(const Pass&);
int64_t copy(const Copy&);
}

#ifdef EDGELINEAR_X86
namespace {

struct Registers {
    unsigned eax, ebx, ecx, edx;
};

bool has(unsigned value, unsigned bits) { return (value & bits) == bits; }

Registers cpuid(unsigned leaf) {
    Registers r = {};
    __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);  // 0 where there is no such leaf
    return r;
}

// Which registers the system saves for a process, as bits of XCR0.
unsigned saved_registers() {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

// The processor is asked itself: not every runtime that compilers link answers
// __builtin_cpu_supports, and one that does not says no.
int32_t x86_sets() {
    constexpr unsigned FMA = 1u << 12, OSXSAVE = 1u << 27, AVX = 1u << 28;  // of leaf 1, ecx
    constexpr unsigned AVX2 = 1u << 5, AVX512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
    constexpr unsigned YMM = 0x6, ZMM = 0xe6;
    if (!has(cpuid(1).ecx, FMA | OSXSAVE | AVX)) return 0;
    const Registers extended = cpuid(7);
    const unsigned saved = saved_registers();
    int32_t sets = 0;
    if (has(extended.ebx, AVX2) && has(saved, YMM)) sets |= 2;
    if (sets && has(extended.ebx, AVX512) && has(saved, ZMM)) sets |= 4;
    return sets;
}

}  // namespace
#endif

// Calls a function of the instruction set.
#ifdef EDGELINEAR_X86
#define OF_SET(function, argument)                                \
    if (instruction_set == 2) return avx512::function(*argument); \
    if (instruction_set == 1) return avx2::function(*argument);   \
    return portable::function(*argument)
#else
#define OF_SET(function, argument) \
    (void)instruction_set;         \
    return portable::function(*argument)
#endif

namespace {

int64_t run_of_set(int32_t instruction_set, const Call* call) { OF_SET(run, call); }

// Sums the samples of each column in their order: the gradient of a bias.
template <class A>
void sum_columns(const Call& call) {
    const int64_t column = call.gathered.feature_stride, sample = call.gathered.sample_stride;
    const A* from = static_cast<const A*>(call.gathered.data);
    A* to = static_cast<A*>(call.column_sums);
    for (int64_t c = 0; c < call.view.columns; c++) to[c] = A(0);
    for (int64_t s = 0; s < call.batch; s++)
        for (int64_t c = 0; c < call.view.columns; c++) to[c] += from[s * sample + c * column];
}

}  // namespace

extern "C" {

// Bit i is set if this processor runs instruction set i: 0 portable, 1 avx2, 2 avx512.
__attribute__((visibility("default"))) int32_t edgelinear_instruction_sets() {
#ifdef EDGELINEAR_X86
    return 1 | x86_sets();
#else
    return 1;
#endif
}

// What a caller compares with its own when it loads the library, to find one of another version.
__attribute__((visibility("default"))) int32_t edgelinear_interface() { return INTERFACE; }
__attribute__((visibility("default"))) int32_t edgelinear_call_bytes() { return sizeof(Call); }
__attribute__((visibility("default"))) int32_t edgelinear_pass_bytes() { return sizeof(Pass); }
__attribute__((visibility("default"))) int32_t edgelinear_copy_bytes() { return sizeof(Copy); }
__attribute__((visibility("default"))) int32_t edgelinear_group_rows() { return GROUP_ROWS; }

// Asks the system to back memory by huge pages: as it is first written to, or, if it is `written`,
// by moving it now. There are fewer to set up at the first write, and fewer for the processor to
// look up when edges read it in no order. The system may refuse: the kernels only take longer then.
__attribute__((visibility("default"))) void edgelinear_use_huge_pages(void* memory, int64_t bytes,
                                                                      int32_t written) {
#ifdef MADV_HUGEPAGE
    constexpr int COLLAPSE = 25;  // MADV_COLLAPSE of Linux 6.1, which older headers lack
    constexpr uintptr_t PAGE = 1 << 21;
    const uintptr_t at = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t first = (at + PAGE - 1) / PAGE * PAGE, end = (at + bytes) / PAGE * PAGE;
    if (first >= end) return;
    void* const pages = reinterpret_cast<void*>(first);
    if (madvise(pages, end - first, MADV_HUGEPAGE) == 0 && written)
        (void)madvise(pages, end - first, COLLAPSE);
#else
    (void)memory, (void)bytes, (void)written;
#endif
}

__attribute__((visibility("default"))) int64_t edgelinear_run(int32_t instruction_set,
                                                              const Call* call) {
    const int64_t result = run_of_set(instruction_set, call);
    if (result == 0 && call->column_sums)
        call->dtype == FLOAT64 ? sum_columns<double>(*call) : sum_columns<float>(*call);
    return result;
}

__attribute__((visibility("default"))) int64_t edgelinear_pass(int32_t instruction_set,
                                                               const Pass* pass) {
    OF_SET(pass, pass);
}

__attribute__((visibility("default"))) int64_t edgelinear_copy(int32_t instruction_set,
                                                               const Copy* copy) {
    OF_SET(copy, copy);
}
}
