// What the shared library exports: the kernels of each instruction set that it was built with.
#include "kernels.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef EDGELINEAR_X86
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

extern "C" {

// Bit i is set if this processor runs instruction set i: 0 portable, 1 avx2, 2 avx512.
__attribute__((visibility("default"))) int32_t edgelinear_instruction_sets() {
    int32_t sets = 1;
#ifdef EDGELINEAR_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets |= 2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        sets |= 4;
#endif
    return sets;
}

// What a caller compares with its own when it loads the library, to find one of another version.
__attribute__((visibility("default"))) int32_t edgelinear_interface() { return INTERFACE; }
__attribute__((visibility("default"))) int32_t edgelinear_call_bytes() { return sizeof(Call); }
__attribute__((visibility("default"))) int32_t edgelinear_pass_bytes() { return sizeof(Pass); }
__attribute__((visibility("default"))) int32_t edgelinear_copy_bytes() { return sizeof(Copy); }
__attribute__((visibility("default"))) int32_t edgelinear_group_rows() { return GROUP_ROWS; }

// Asks the system to back memory, not yet written to, by huge pages. There are fewer to set up at
// the first write, and fewer for the processor to look up when edges read it in no order. The
// system may refuse: then the kernels only take longer.
__attribute__((visibility("default"))) void edgelinear_use_huge_pages(void* memory, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t PAGE = 1 << 21;
    const uintptr_t at = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t first = (at + PAGE - 1) / PAGE * PAGE, end = (at + bytes) / PAGE * PAGE;
    if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

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

__attribute__((visibility("default"))) int64_t edgelinear_run(int32_t instruction_set,
                                                              const Call* call) {
    OF_SET(run, call);
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
