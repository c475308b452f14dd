// Runs the kernels of a shared library on problems from a file, and writes what they give:
//
//     elsewhere LIBRARY PROBLEMS RESULTS
//
// It is built for systems that this machine emulates, and knows as little of torch as the kernels.
#include <cstdio>
#include <cstdlib>
#include <memory>

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

// What `elsewhere.py` writes before the arrays of a problem; all of int64, arrays as their bytes.
struct Header {
    int64_t product, dtype, edge_dtype, index_bytes, batch, rows, columns, edges, num_runs, threads;
    int64_t gathered, gathered_feature, gathered_sample;
    int64_t rowwise, rowwise_feature, rowwise_sample;
    int64_t sums, sums_feature, sums_sample;
    int64_t indptr, indices, edge_ids, runs, weight, dots, bias;
};

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "elsewhere: %s\n", what);
    std::exit(1);
}

struct alignas(64) Line {
    char bytes[64];
};
typedef std::unique_ptr<Line[]> Array;  // as tensors of torch are aligned

Array array(int64_t bytes) { return Array(bytes ? new Line[(bytes + 63) / 64]() : nullptr); }

Array read(FILE* file, int64_t bytes) {
    Array to = array(bytes);
    if (bytes && std::fread(to.get(), 1, bytes, file) != size_t(bytes)) fail("a problem is cut short");
    return to;
}

int64_t threads;

// The parts of a range that as many threads would take, one after the other.
int32_t in_parts(int64_t begin, int64_t end, int64_t grain, Body body, void* context) {
    const int64_t even = (end - begin + threads - 1) / threads, each = even > grain ? even : grain;
    for (int64_t at = begin; at < end; at += each) body(at, at + each < end ? at + each : end, context);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) fail("a library, problems and a file for results are needed");
    void* library = open_library(arguments[1]);
    if (!library) fail("the library cannot be loaded");
    auto number = [&](const char* name) { return ((int32_t(*)())find(library, name))(); };
    if (number("edgelinear_interface") != INTERFACE) fail("the library is of another version");
    if (number("edgelinear_call_bytes") != sizeof(Call)) fail("the struct lies otherwise");
    const int32_t sets = number("edgelinear_instruction_sets");
    auto run = (int64_t(*)(int32_t, const Call*))find(library, "edgelinear_run");
    FILE* problems = std::fopen(arguments[2], "rb");
    FILE* results = std::fopen(arguments[3], "wb");
    if (!problems || !results) fail("a file cannot be opened");
    std::fwrite(&sets, sizeof sets, 1, results);

    Header h;
    while (std::fread(&h, sizeof h, 1, problems) == 1) {
        threads = h.threads;
        const Array gathered = read(problems, h.gathered), rowwise = read(problems, h.rowwise),
                    indptr = read(problems, h.indptr), indices = read(problems, h.indices),
                    edge_ids = read(problems, h.edge_ids), runs = read(problems, h.runs),
                    weight = read(problems, h.weight), bias = read(problems, h.bias);
        for (int32_t set = 0; set < 3; set++) {
            if (!(sets >> set & 1)) continue;
            const Array sums = array(h.sums), dots = array(h.dots);
            Call call = {};
            call.view = {indptr.get(), indices.get(), edge_ids.get(), runs.get(),   h.rows,
                         h.columns,    h.edges,       h.num_runs,     int32_t(h.index_bytes)};
            call.batch = h.batch;
            call.product = int32_t(h.product);
            call.dtype = int32_t(h.dtype);
            call.edge_dtype = int32_t(h.edge_dtype);
            call.threads = threads;
            call.gathered = {gathered.get(), h.gathered_feature, h.gathered_sample};
            call.rowwise = {rowwise.get(), h.rowwise_feature, h.rowwise_sample};
            call.sums = {sums.get(), h.sums_feature, h.sums_sample};
            call.weight = weight.get();
            call.dots = dots.get();
            call.bias = bias.get();
            call.parallel_for = in_parts;
            int64_t lacks = run(set, &call);
            Array scratch = array(lacks);
            if (lacks) {
                call.scratch = scratch.get();
                lacks = run(set, &call);
            }
            if (lacks) fail("a call failed");
            std::fwrite(sums.get(), 1, h.sums, results);
            std::fwrite(dots.get(), 1, h.dots, results);
        }
    }
    return std::fclose(results) ? 1 : 0;
}
