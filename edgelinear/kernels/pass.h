// Passes over the levels of a network, and over the steps of a recurrent one. Included after the
// walk, inside the namespace of an instruction set.

// A bound for the scratch of a walk over some of the rows, for so many samples.
inline int64_t room(const Pass& pass, int64_t samples) {
    const int64_t chunks = pass.call.view.edges / SUM_CHUNK + 1;
    return chunks * 2 * (samples + 4 * VECTOR_BYTES) * static_cast<int64_t>(sizeof(double)) + 128;
}

// Finishes the sums of a row for a vector of samples, and writes them.
template <class A, int W>
void finish_vector(const Call& call, Vec<A, W> v, int64_t row, int64_t sample) {
    A sums[W];
    store(sums, v);
    finish_sums<A, W, 1>(*call.finish, sums, row, 1, sample, call.batch - sample);
    A* to = static_cast<A*>(call.sums.data) + row * call.sums.feature_stride + sample;
    store_as<A, W>(to, load<Vec<A, W>>(sums), call.batch - sample);
}

// Finishes rows that have nothing to gather: their sums are 0.
template <class A>
bool finish_alone(const Call& call) {
    constexpr int W = VECTOR_BYTES / sizeof(A);
    const int64_t rows = call.view.rows;
    return parallel(call, rows, rows * call.batch, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++)
            for (int64_t sample = 0; sample < call.batch; sample += W)
                finish_vector<A, W>(call, Vec<A, W>{}, row, sample);
    });
}

inline int64_t shares_of(const Call& call) { return smaller(64, larger(1, call.threads)); }

#include "aggregate.h"

// Walks over the rows of one level: groups from `begin` to `end`.
template <class A>
bool walk_level(const Pass& pass, int64_t begin, int64_t end, bool empty) {
    const int64_t first = pass.groups[begin].first, last = pass.groups[end].first;
    const View& view = pass.call.view;
    Call call = pass.call;
    Finish finish = pass.finish;
    if (last - first < view.rows) call.view.runs = nullptr;  // which are those of all rows
    call.view.indptr = static_cast<const char*>(view.indptr) + first * view.index_bytes;
    call.view.rows = last - first;
    call.view.edges = pass.reverse ? pass.groups[end].by_source - pass.groups[begin].by_source
                                   : pass.groups[end].by_target - pass.groups[begin].by_target;
    call.sums.data = static_cast<A*>(call.sums.data) + first * call.sums.feature_stride;
    if (call.bias) call.bias = static_cast<const A*>(call.bias) + first;
    finish.groups += begin;
    finish.row = first;
    call.finish = &finish;
    if (empty) return finish_alone<A>(call);
    if (run(call) != 0) return false;
    if (!pass.aggregates.count) return true;
    return pass.reverse ? push_level<A>(pass, first, last) : aggregate_level<A>(pass, call, first);
}

template <class A, class Pointer>
void move(Pointer& data, int64_t elements) {
    if (data) data = static_cast<Pointer>(const_cast<A*>(static_cast<const A*>(data)) + elements);
}

template <class A>
bool walk_levels(Pass pass) {
    const Group* groups = pass.groups;
    pass.finish.groups = groups;
    for (int64_t step = 0; step < pass.steps; step++) {
        const bool empty = pass.starts_empty && step == 0;
        for (int64_t done = 0; done < pass.num_groups;) {
            int64_t begin = done, end = done + 1;
            if (pass.reverse) {
                end = pass.num_groups - done, begin = end - 1;
                while (begin > 0 && groups[begin - 1].level == groups[begin].level) begin--;
            } else {
                while (end < pass.num_groups && groups[end].level == groups[begin].level) end++;
            }
            if (!walk_level<A>(pass, begin, end, empty)) return false;
            done += end - begin;
        }
        move<A>(pass.call.gathered.data, pass.gathered_step);
        move<A>(pass.call.sums.data, pass.sums_step);
        move<A>(pass.finish.state, pass.state_step);
        move<A>(pass.finish.added, pass.added_step);
        move<A>(pass.finish.previous, pass.previous_step);
        move<A>(pass.finish.mixed, pass.mixed_step);
        move<A>(pass.finish.drive, pass.drive_step);
    }
    return true;
}

inline int32_t on_this_thread(int64_t begin, int64_t end, int64_t, Body body, void* context) {
    body(begin, end, context);
    return 0;
}

// Walks over all levels. Where every thread can have tiles of its own, it takes them through all of
// them alone; otherwise threads share the rows of each level.
template <class A>
bool walk_tiles(const Pass& pass, int64_t width, int64_t tiles, int64_t shares) {
    const Call& call = pass.call;
    bool walked[64] = {};
    int64_t next = 0;
    const Aggregates& others = pass.aggregates;
    const int64_t more = others.count ? others.nodes[others.count].begin : 0;
    const int64_t products = call.batch * (call.view.edges + call.view.rows + more) * pass.steps;
    const bool ok = parallel(call, shares, products, [&](int64_t begin, int64_t end) {
        for (int64_t share = begin; share < end; share++) {
            walked[share] = true;
            for (int64_t t = take(next, 1); t < tiles; t = take(next, 1)) {
                Pass one = pass;
                const int64_t sample = t * width;
                one.call.batch = smaller(width, call.batch - sample);
                one.call.width = width;
                one.call.threads = 1;
                one.call.parallel_for = on_this_thread;
                one.call.scratch = static_cast<char*>(call.scratch) + t * room(pass, width);
                one.aggregates.scratch = static_cast<char*>(pass.aggregates.scratch) +
                                         share * Messages<A>::bytes(pass);
                move<A>(one.call.gathered.data, sample);
                move<A>(one.call.sums.data, sample);
                one.finish.sample = sample;
                walked[share] &= walk_levels<A>(one);
            }
        }
    });
    for (int64_t share = 0; share < shares; share++)
        if (!walked[share]) return false;
    return ok;
}

// Runs the pass and returns 0, the bytes of scratch that it lacks, or -1 where threads failed.
template <class A>
int64_t pass_of(const Pass& given) {
    Pass pass = given;
    const Call& call = pass.call;
    const int64_t width = best_width<A>(call), tiles = ceil_div(call.batch, larger(1, width));
    const bool apart = call.threads > 1 && tiles >= call.threads;
    const int64_t walks = apart ? tiles * room(pass, width) : room(pass, call.batch);
    const int64_t lacks = walks + 63 + shares_of(call) * Messages<A>::bytes(pass);
    alignas(64) char own[1 << 15];  // of a small network, which is spared a second call
    if (!call.scratch) {
        if (lacks > static_cast<int64_t>(sizeof(own))) return lacks;
        pass.call.scratch = own;
    }
    const uintptr_t beyond = reinterpret_cast<uintptr_t>(pass.call.scratch) + walks;
    pass.aggregates.scratch = reinterpret_cast<void*>((beyond + 63) / 64 * 64);
    const int64_t shares = smaller(tiles, shares_of(call));
    bool ok = apart ? walk_tiles<A>(pass, width, tiles, shares) : walk_levels<A>(pass);
    // Without edges there is no gradient of weights, and still one of responses.
    if (pass.aggregates.grad_weight || pass.aggregates.grad_response) ok &= collect<A>(pass);
    return ok ? 0 : -1;
}

int64_t pass(const Pass& pass) {
    return pass.call.dtype == FLOAT64 ? pass_of<double>(pass) : pass_of<float>(pass);
}

inline int64_t row_of(const Copy& copy, int64_t feature) {
    if (!copy.rows) return feature;
    return copy.row_bytes == 8 ? static_cast<const int64_t*>(copy.rows)[feature]
                               : static_cast<const int32_t*>(copy.rows)[feature];
}

// Copies a vector: there is nothing to transpose.
template <class A>
void copy_vector(const Copy& copy, int64_t begin, int64_t end) {
    const A* from = static_cast<const A*>(copy.from.data);
    A* to = static_cast<A*>(copy.to.data);
    for (int64_t feature = begin; feature < end; feature++)
        to[feature * copy.to.feature_stride] =
            from[row_of(copy, feature) * copy.from.feature_stride];
}

template <class A>
bool copy_of(const Copy& copy) {
    constexpr int W = VECTOR_BYTES / sizeof(A), NV = 4, T = W * NV;
    const int64_t parts = ceil_div(copy.features, FEATURES);
    auto some = [&](int64_t begin, int64_t end) {
        if (copy.batch == 1 && copy.from_dtype == copy.to_dtype && copy.from_dtype <= FLOAT64)
            return copy_vector<A>(copy, begin * FEATURES, smaller(end * FEATURES, copy.features));
        alignas(64) A block[FEATURES * T];
        for (int64_t part = begin; part < end; part++) {
            const int64_t feature = part * FEATURES;
            const int64_t count = smaller(FEATURES, copy.features - feature);
            for (int64_t sample = 0; sample < copy.batch; sample += T) {
                const int64_t samples = copy.batch - sample;
                if (copy.rows)
                    for (int64_t f = 0; f < count; f++)
                        pack<A, W, NV>(copy.from_dtype, copy.from, row_of(copy, feature + f), 1, sample,
                                       samples, block + f * T);
                else
                    pack<A, W, NV>(copy.from_dtype, copy.from, feature, count, sample, samples,
                                   block);
                unpack<A, W, NV>(copy.to_dtype, block, copy.to, feature, count, sample, samples);
            }
        }
    };
    Call call{};
    call.parallel_for = copy.parallel_for;
    call.threads = copy.threads;
    return parallel(call, parts, copy.features * copy.batch, some);
}

int64_t copy(const Copy& copy) {
    const bool is_double = copy.from_dtype == FLOAT64 || copy.to_dtype == FLOAT64;
    return (is_double ? copy_of<double>(copy) : copy_of<float>(copy)) ? 0 : -1;
}
