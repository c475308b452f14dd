// Makes calls of a shared library of the kernels from a file, and writes what they give:
//
//     elsewhere LIBRARY CALLS RESULTS
//
// It is built for systems that this machine emulates, and knows as little of torch as the kernels.
// Each call is made by every instruction set, on as many threads as it says and on one: their bits
// must be the same.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
static void* open_library(const char* path) { return (void*)LoadLibraryA(path); }
static void* find(void* library, const char* name) {
    return (void*)GetProcAddress((HMODULE)library, name);
}
#else
#include <dlfcn.h>
static void* open_library(const char* path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
static void* find(void* library, const char* name) { return dlsym(library, name); }
#endif

namespace {

enum Function : int64_t { RUN, PASS, COPY };
constexpr const char* NAMES[] = {"edgelinear_run", "edgelinear_pass", "edgelinear_copy"};

// What `calls.py` writes of a call: its pointers, the kinds of its arrays, its struct and the arrays
// follow.
struct Header {
    int64_t function, threads, struct_bytes, num_arrays, num_pointers;
};
struct Kind {
    int64_t bytes, is_result;
};
struct Pointer {
    int64_t field, array, byte;  // the field of the struct at this byte leads to this byte of it
};

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "elsewhere: %s\n", what);
    std::exit(1);
}

struct alignas(64) Line {
    char bytes[64];
};

// Memory aligned as that of tensors is. Beyond its end, where some calls may read, all is NaN.
struct Array {
    int64_t size;
    std::unique_ptr<Line[]> lines;

    explicit Array(int64_t bytes) : size(bytes), lines(new Line[bytes / 64 + 9]) {
        std::memset(lines.get(), 0xff, (bytes / 64 + 9) * sizeof(Line));
    }
    Array(const Array& other) : Array(other.size) { std::memcpy(data(), other.data(), size); }
    Array(Array&&) = default;

    char* data() const { return lines[0].bytes; }
};

void read(FILE* file, void* to, int64_t bytes) {
    if (bytes && std::fread(to, 1, bytes, file) != size_t(bytes)) fail("a call is cut short");
}

int64_t threads;

// The parts of a range that as many threads would take, one after the other.
int32_t in_parts(int64_t begin, int64_t end, int64_t grain, Body body, void* context) {
    const int64_t even = (end - begin + threads - 1) / threads, each = even > grain ? even : grain;
    for (int64_t at = begin; at < end; at += each) body(at, at + each < end ? at + each : end, context);
    return 0;
}

typedef int64_t (*Kernel)(int32_t set, const void* call);

void make(Kernel kernel, Function function, int32_t set, void* bytes) {
    if (function == COPY) {
        static_cast<Copy*>(bytes)->parallel_for = in_parts;
        if (kernel(set, bytes)) fail("a copy failed");
        return;
    }
    Call& call = function == RUN ? *static_cast<Call*>(bytes) : static_cast<Pass*>(bytes)->call;
    call.threads = threads;
    call.parallel_for = in_parts;
    int64_t lacks = kernel(set, bytes);
    const Array scratch(lacks > 0 ? lacks : 0);
    if (lacks > 0) {
        call.scratch = scratch.data();
        lacks = kernel(set, bytes);
    }
    if (lacks) fail("a call failed");
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) fail("a library, calls and a file for results are needed");
    void* library = open_library(arguments[1]);
    if (!library) fail("the library cannot be loaded");
    auto number = [&](const char* name) { return ((int32_t(*)())find(library, name))(); };
    if (number("edgelinear_interface") != INTERFACE) fail("the library is of another version");
    if (number("edgelinear_call_bytes") != sizeof(Call) || number("edgelinear_pass_bytes") != sizeof(Pass) ||
        number("edgelinear_copy_bytes") != sizeof(Copy))
        fail("the structs lie otherwise");
    const int32_t sets = number("edgelinear_instruction_sets");
    FILE* calls = std::fopen(arguments[2], "rb");
    FILE* results = std::fopen(arguments[3], "wb");
    if (!calls || !results) fail("a file cannot be opened");
    std::fwrite(&sets, sizeof sets, 1, results);

    Header h;
    while (std::fread(&h, sizeof h, 1, calls) == 1) {
        const Function function = Function(h.function);
        const auto kernel = reinterpret_cast<Kernel>(find(library, NAMES[function]));
        std::vector<Pointer> pointers(h.num_pointers);
        read(calls, pointers.data(), h.num_pointers * sizeof(Pointer));
        std::vector<Kind> kinds(h.num_arrays);
        read(calls, kinds.data(), h.num_arrays * sizeof(Kind));
        const Array given(h.struct_bytes);
        read(calls, given.data(), given.size);
        std::vector<Array> arrays;
        for (const Kind& kind : kinds) {
            arrays.emplace_back(kind.bytes);
            read(calls, arrays.back().data(), kind.bytes);
        }
        auto made = [&](int32_t set, int64_t on_threads) {
            std::vector<Array> own = arrays;
            const Array bytes = given;
            for (const Pointer& pointer : pointers) {
                char* to = own[pointer.array].data() + pointer.byte;
                std::memcpy(bytes.data() + pointer.field, &to, sizeof to);
            }
            threads = on_threads;
            make(kernel, function, set, bytes.data());
            return own;
        };
        for (int32_t set = 0; set < 3; set++) {
            if (!(sets >> set & 1)) continue;
            const std::vector<Array> several = made(set, h.threads), one = made(set, 1);
            for (size_t i = 0; i < kinds.size(); i++) {
                if (!kinds[i].is_result) continue;
                if (std::memcmp(several[i].data(), one[i].data(), one[i].size))
                    fail("threads change bits");
                std::fwrite(one[i].data(), 1, one[i].size, results);
            }
        }
    }
    return std::fclose(results) ? 1 : 0;
}
