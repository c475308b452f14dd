// The kernels. This file is compiled once for each instruction set: `ISA` is its name,
// `VECTOR_BYTES` the width of its registers.
//
// Tiles. The batch is cut into tiles of T samples. Edges read one operand, `gathered`, in no order
// of its columns: it is first packed as [tile][column][T], so that what an edge reads lies in one
// place. The other matrices belong to rows, which come in order: they pass through a small buffer.
//
// Chunks. The edges are cut into chunks, which threads take; the wiring alone decides where. A
// row that a cut divides is summed in each of its chunks apart, and these sums are then added in
// the order of chunks. So the bits of a sample's sums depend on the wiring alone, not on threads or
// on the rest of the batch, and threads share even a single row of a million edges.
//
// Runs. Where rows are dense, the walk takes runs instead of rows. A run is the edges of one row
// whose columns lie in one block of columns, so small that the first-level cache holds it while all
// rows of a group pass over it. Runs are sorted by group, then by block, then by length: the
// processor predicts well when a loop ends if it took as many rounds as the loop before it. A group
// is then what a chunk is, and no row is cut.
#include <cstddef>
#include <type_traits>

#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "kernels.h"

namespace ISA {

#include "simd.h"
#include "pack.h"

constexpr int64_t SUM_CHUNK = 2048;    // the fewest edges of a chunk
constexpr int64_t DOT_CHUNK = 128;     // the same for dots, each of which lies in one chunk
constexpr int64_t BUFFER_ROWS = 32;    // rows that are walked before their buffer is written out
constexpr int64_t AHEAD = 12;          // edges between the prefetch of a column and its use
constexpr int64_t FAR_AHEAD = 48;      // the same for a weight: its page must be looked up as well
constexpr int64_t RUNS_AHEAD = 6;      // runs between the prefetch of their edges and their use
constexpr int64_t PREFETCH = 1 << 19;  // bytes of a tile from which on columns are prefetched
constexpr int64_t WIDE = 1 << 21;      // bytes up to which a tile may be four vectors wide, not two
constexpr int64_t PACKED = 1 << 23;    // bytes of the tiles that are packed at a time
constexpr int64_t PACK_COLUMNS = 256;  // columns that a thread packs at a time
constexpr int64_t SERIAL = 1 << 15;    // products up to which a second thread does not pay
constexpr int64_t HELD = 64;           // vectors of products that wait to be summed across lanes

// Returns the first of `count` things that nobody has taken yet; others take from `next` as well.
inline int64_t take(int64_t& next, int64_t count) {
    return __atomic_fetch_add(&next, count, __ATOMIC_RELAXED);
}

// [0, count) in shares, one for each thread, which takes it piece by piece, and then helps with
// what is left of others: a thread whose core is busy with something else keeps no other waiting.
template <class Function>
struct Shares {
    static constexpr int64_t MOST = 256, PIECES = 16;  // of shares, and of pieces of one
    struct alignas(64) Share {
        int64_t next, end, piece;
    };

    Function& function;
    int64_t number;
    Share shares[MOST];

    Shares(Function& function, int64_t count, int64_t number) : function(function), number(number) {
        for (int64_t s = 0; s < number; s++) {
            const int64_t begin = s * count / number, end = (s + 1) * count / number;
            shares[s] = {begin, end, ceil_div(end - begin, PIECES)};
        }
    }

    // Computes the share `own`, and what is left of the others.
    void compute(int64_t own) {
        for (int64_t i = 0; i < number; i++) {
            Share& share = shares[(own + i) % number];
            const int64_t end = share.end, piece = share.piece;
            for (int64_t at = take(share.next, piece); at < end; at = take(share.next, piece))
                function(at, smaller(at + piece, end));
        }
    }
};

// Calls `function(begin, end)` on parts of [0, count), on torch's threads where the whole computes
// enough `products`. Returns whether they succeeded.
template <class Function>
bool parallel(const Call& call, int64_t count, int64_t products, Function function) {
    if (count <= 1 || products < SERIAL) return function(0, count), true;
    const int64_t useful = smaller(count, ceil_div(products, SERIAL));
    const int64_t number = smaller(smaller(call.threads, useful), Shares<Function>::MOST);
    if (number <= 1) return function(0, count), true;
    Shares<Function> shares(function, count, number);
    Body body = [](int64_t begin, int64_t, void* context) {
        static_cast<Shares<Function>*>(context)->compute(begin);
    };
    return call.parallel_for(0, number, 1, body, &shares) == 0;
}

// The edges of one row in one block of columns: `count` positions from `begin` on.
template <class I>
struct Run {
    I row, begin, count;
};

// Returns the first index below `count` for which `before` is false, or `count`. It is true for all
// indices below that one.
template <class Before>
int64_t first_not(int64_t count, Before before) {
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (before(middle))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#include "finish.h"

// A walk over the edges for one tile. A is the type of sums, I that of indices; a vector has W
// numbers, and a tile NV vectors.
template <class A, class I, int W, int NV, Product PRODUCT>
struct Walk {
    static constexpr int64_t T = W * NV;
    static constexpr bool HAS_SUMS = PRODUCT != DOTS, HAS_DOTS = PRODUCT != SUMS;
    // Dots of a small batch are walked by rows even where there are runs: their bits are the same.
    static constexpr bool SMALL = PRODUCT == DOTS && T * sizeof(A) < VECTOR_BYTES;
    typedef Vec<A, W> V;

    const Call& call;
    const I* indptr = static_cast<const I*>(call.view.indptr);
    const I* indices = static_cast<const I*>(call.view.indices);
    const I* edge_ids = static_cast<const I*>(call.view.edge_ids);
    const Run<I>* runs = SMALL ? nullptr : static_cast<const Run<I>*>(call.view.runs);
    int64_t rows = call.view.rows, edges = call.view.edges;
    int64_t origin = rows ? indptr[0] : 0;  // the first position, where rows are some of a view's
    // A chunk has as many rows as the buffer, but not so many that threads go without chunks.
    int64_t least = HAS_SUMS ? SUM_CHUNK : smaller(SUM_CHUNK, larger(DOT_CHUNK, edges / 16));
    int64_t buffer_edges = BUFFER_ROWS * (edges / larger(1, rows));
    int64_t chunk_edges = larger(least, smaller(edges / 64, buffer_edges));
    int64_t chunks = runs ? ceil_div(rows, GROUP_ROWS)
                          : larger(1, ceil_div(edges, chunk_edges));
    int64_t tiles = ceil_div(call.batch, T);
    int64_t tile_bytes = call.view.columns * T * static_cast<int64_t>(sizeof(A));
    bool far = !runs && tile_bytes > PREFETCH;

    int64_t tile = 0;             // the one that is walked
    const A* gathered = nullptr;  // its packed columns, (columns, T)
    int64_t stride = T;           // between these columns

    const A* weight = static_cast<const A*>(call.weight);
    const I* weight_ids = edge_ids;  // null once the weight is in the order of positions
    A* cut_sums = nullptr;  // (chunks, 2, T): of the rows cut at a chunk's start and at its end

    A* partial = nullptr;  // (edges,): dots over the tiles so far, in the order of positions
    bool direct = false;   // whether `partial` is `dots` itself
    // Whether dots are so few that they are written anywhere at once, without a prefetch.
    bool scattered = edge_ids && call.edge_dtype == call.dtype && call.dtype <= FLOAT64 &&
                     edges * static_cast<int64_t>(sizeof(A)) <= PREFETCH;
    int64_t dot_bytes = call.edge_dtype == FLOAT64 ? 8 : call.edge_dtype == FLOAT32 ? 4 : 2;

    // Products of successive positions, still to be summed across their lanes.
    struct Products {
        V products[HELD];
        int64_t held, position;  // how many, and the position of the first
    };

    void walk_chunk(int64_t c) const {
        if (runs) {
            if constexpr (HAS_SUMS) sum_group(c);
            if constexpr (HAS_DOTS) dot_group(c);
            return;
        }
        const int64_t lo = origin + c * chunk_edges, last = origin + edges;
        const int64_t hi = smaller(lo + chunk_edges, last);
        int64_t first = row_from(lo);
        const int64_t end = c + 1 == chunks ? rows : row_from(hi);
        const bool tail = end > first && indptr[end] > hi;  // the last row ends in a later chunk
        bool head = first > 0 && indptr[first] > lo;        // the row before `first` ends in here
        first -= head;
        alignas(64) A sums[BUFFER_ROWS * T], own[BUFFER_ROWS * T];
        Products products;
        products.held = 0, products.position = lo;
        for (int64_t row = first; row < end; row += BUFFER_ROWS) {
            const int64_t stop = smaller(row + BUFFER_ROWS, end);
            if constexpr (HAS_DOTS) pack_rows(row, stop - row, own);
            for (int64_t r = row; r < stop; r++) {
                const int64_t from = larger(indptr[r], lo), to = smaller(indptr[r + 1], hi);
                const int64_t at = (r - row) * T;
                if constexpr (HAS_SUMS) row_sum(from, to, hi, sums + at, LanesOf<NV>());
                if constexpr (HAS_DOTS) row_dot(from, to, hi, own + at, products, LanesOf<NV>());
            }
            if constexpr (HAS_SUMS) {
                const bool cut = tail && stop == end;
                if (head) __builtin_memcpy(cut_sums + c * 2 * T, sums, T * sizeof(A));
                if (cut) {
                    const A* last = sums + (end - 1 - row) * T;
                    __builtin_memcpy(cut_sums + (c * 2 + 1) * T, last, T * sizeof(A));
                }
                finish(sums + head * T, row + head, stop - row - head - cut);
                head = false;
            }
        }
        if constexpr (HAS_DOTS) write(products);
    }

    // Returns the first row that starts at `position` or after it.
    int64_t row_from(int64_t position) const {
        return first_not(rows, [&](int64_t row) { return indptr[row] < position; });
    }

    // Returns the first run of `group` or of a later one.
    const Run<I>* run_from(int64_t group) const {
        auto before = [&](int64_t i) { return runs[i].row / GROUP_ROWS < group; };
        return runs + first_not(call.view.num_runs, before);
    }

    // Prefetches what a run has of an array with a number for each edge. The processor does not
    // foresee it, as runs are short and far apart.
    template <class E>
    static inline void fetch(const Run<I>& run, const E* edgewise) {
        __builtin_prefetch(edgewise + run.begin);
        __builtin_prefetch(edgewise + run.begin + run.count - 1);
    }

    // Prefetches the column of the edge at position i.
    inline void prefetch(int64_t i) const {
        const char* p = reinterpret_cast<const char*>(gathered + indices[i] * stride);
        for (size_t line = 0; line < sizeof(A) * T; line += 64) __builtin_prefetch(p + line);
    }

    void sum_group(int64_t g) const {
        const int64_t first = g * GROUP_ROWS;
        alignas(64) A sums[GROUP_ROWS * T] = {};
        const Run<I>*begin = run_from(g), *end = run_from(g + 1);
        if (weight_ids)
            add_runs<true>(begin, end, first, indices, weight, weight_ids, gathered, stride, sums,
                           LanesOf<NV>());
        else
            add_runs<false>(begin, end, first, indices, weight, weight_ids, gathered, stride, sums,
                            LanesOf<NV>());
        finish(sums, first, smaller(GROUP_ROWS, rows - first));
    }

    // Adds the products of each run to the sums of its row; `first` is the first row of the group.
    // A function without `this`: the compiler would load members anew after every store, as it
    // cannot tell that a store does not change them. Arguments stay in registers.
    template <bool IDS, size_t... J>
    static void add_runs(const Run<I>* run, const Run<I>* end, int64_t first, const I* indices,
                         const A* weight, const I* edge_ids, const A* gathered, int64_t stride,
                         A* sums, Lanes<J...> lanes) {
        for (; run < end; run++) {
            const int64_t left = end - 1 - run;
            const Run<I>& later = run[smaller(RUNS_AHEAD, left)];
            fetch(later, indices);
            if constexpr (IDS) {  // the weights of a nearer run, whose ids are here by now
                const Run<I>& near = run[smaller(RUNS_AHEAD / 3, left)];
                for (int64_t i = 0; i < near.count; i++)
                    __builtin_prefetch(weight + edge_ids[near.begin + i]);
                fetch(later, edge_ids);
            } else {
                fetch(later, weight);
            }
            A* sum = sums + (run->row - first) * T;
            const I* index = indices + run->begin;
            auto factor = [&, at = run->begin](int64_t i) {
                return weight[IDS ? edge_ids[at + i] : at + i];
            };
            // Edges in turn go to one of two sums, so that no addition waits for the one before.
            V even[NV], odd[NV];
            ((even[J] = load<V>(sum + J * W), odd[J] = V{}), ...);
            const int64_t count = run->count;
            int64_t i = 0;
            for (; i + 1 < count; i += 2) {
                add(even, factor(i), gathered + index[i] * stride, lanes);
                add(odd, factor(i + 1), gathered + index[i + 1] * stride, lanes);
            }
            if (i < count) add(even, factor(i), gathered + index[i] * stride, lanes);
            (store(sum + J * W, even[J] + odd[J]), ...);
        }
    }

    // Adds factor * column to the sums. Loops over J, the vectors of a tile, are written as folds,
    // for then compilers keep the sums in registers.
    template <size_t... J>
    __attribute__((always_inline)) static inline void add(V* sum, A factor, const A* column,
                                                          Lanes<J...>) {
        const V w = broadcast<A, W>(factor);
        ((sum[J] = fma<A, W>(w, load<V>(column + J * W), sum[J])), ...);
    }

    // Copies the weight of a chunk to `to`, in the order of positions.
    template <class D>
    void order(int64_t c, const D* from, A* to) const {
        auto copy = [&, ids = edge_ids](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) to[i] = load_as<A, 1>(from + (ids ? ids[i] : i));
        };
        if (!runs)
            return copy(origin + c * chunk_edges, origin + smaller((c + 1) * chunk_edges, edges));
        // In the order of runs: edges of one row may lie on a page of memory each, and those of one
        // block of columns on the same few.
        const Run<I>* end = run_from(c + 1);
        for (const Run<I>* run = run_from(c); run < end; run++)
            copy(run->begin, run->begin + run->count);
    }

    // Adds up the row that starts in chunk c and ends in a later one, if there is one.
    void join_cut_row(int64_t c) const {
        const int64_t lo = origin + c * chunk_edges, hi = lo + chunk_edges, row = row_from(hi) - 1;
        if (row < 0 || indptr[row] < lo || indptr[row + 1] <= hi) return;
        A* sum = cut_sums + (c * 2 + 1) * T;
        for (int64_t next = c + 1; origin + next * chunk_edges < indptr[row + 1]; next++)
            for (int64_t t = 0; t < T; t++) sum[t] += cut_sums[next * 2 * T + t];
        finish(sum, row, 1);
    }

    // Sums the positions of a row from `begin` to `end`, in a chunk that ends at `hi`.
    template <size_t... J>
    inline void row_sum(int64_t begin, int64_t end, int64_t hi, A* sum, Lanes<J...> lanes) const {
        V even[NV], odd[NV];
        ((even[J] = odd[J] = V{}), ...);
        // Copies of members, for the reason that `add_runs` has no `this`.
        const I *index = indices, *ids = weight_ids;
        const A *factor = weight, *x = gathered;
        const int64_t step = stride;
        const bool ahead = far;
        auto add_edge = [&](int64_t i, V* acc) __attribute__((always_inline)) {
            if (ahead) {
                prefetch(smaller(i + AHEAD, hi - 1));
                if (ids) __builtin_prefetch(factor + ids[smaller(i + FAR_AHEAD, hi - 1)]);
            }
            add(acc, factor[ids ? ids[i] : i], x + index[i] * step, lanes);
        };
        // Two sums in turn, as in `add_runs`.
        int64_t i = begin;
        if constexpr (T == 1)  // where questions at each edge take as long as its arithmetic
            if (!ahead) {
                if (ids)
                    for (; i + 1 < end; i += 2) {
                        add(even, factor[ids[i]], x + index[i] * step, lanes);
                        add(odd, factor[ids[i + 1]], x + index[i + 1] * step, lanes);
                    }
                else
                    for (; i + 1 < end; i += 2) {
                        add(even, factor[i], x + index[i] * step, lanes);
                        add(odd, factor[i + 1], x + index[i + 1] * step, lanes);
                    }
            }
        for (; i + 1 < end; i += 2) add_edge(i, even), add_edge(i + 1, odd);
        if (i < end) add_edge(i, even);
        (store(sum + J * W, even[J] + odd[J]), ...);
    }

    // Adds the bias to the sums of `count` rows, and writes them out.
    void finish(A* sums, int64_t row, int64_t count) const {
        if (call.bias)
            with_type<A>(call.dtype, [&](auto type) {
                const auto* bias = static_cast<const decltype(type)*>(call.bias) + row;
                for (int64_t r = 0; r < count; r++)
                    for (int64_t t = 0; t < T; t++) sums[r * T + t] += load_as<A, 1>(bias + r);
            });
        const int64_t sample = tile * T, samples = call.batch - sample;
        if constexpr (PRODUCT == SUMS)
            if (call.finish)
                finish_sums<A, W, NV>(*call.finish, sums, row, count, sample, samples);
        unpack<A, W, NV>(call.dtype, sums, call.sums, row, count, sample, samples);
    }

    void dot_group(int64_t g) const {
        const int64_t first = g * GROUP_ROWS;
        alignas(64) A own[GROUP_ROWS * T];
        pack_rows(first, smaller(GROUP_ROWS, rows - first), own);
        Products products;
        products.held = 0;
        const Run<I>* end = run_from(g + 1);
        for (const Run<I>* run = run_from(g); run < end; run++) {
            fetch(run[smaller(RUNS_AHEAD, end - 1 - run)], indices);
            const int64_t stop = run->begin + run->count;
            products.position = run->begin;
            row_dot(run->begin, stop, stop, own + (run->row - first) * T, products, LanesOf<NV>());
            write(products);
        }
    }

    // Copies this tile of `count` rows of `rowwise` to `own`.
    void pack_rows(int64_t row, int64_t count, A* own) const {
        pack<A, W, NV>(call.dtype, call.rowwise, row, count, tile * T, call.batch - tile * T, own);
    }

    // Multiplies a row with the columns of its positions from `begin` to `end`, as `row_sum` does.
    template <size_t... J>
    inline void row_dot(int64_t begin, int64_t end, int64_t hi, const A* row, Products& products,
                        Lanes<J...>) const {
        if constexpr (T == 1)
            if (tiles == 1) {
                if (direct) return row_products(begin, end, indices, gathered, stride, *row, partial);
                if (scattered)
                    return row_products(begin, end, indices, gathered, stride, *row,
                                        static_cast<A*>(call.dots), edge_ids);
            }
        const V factor[NV] = {load<V>(row + J * W)...};
        const A* x = gathered;
        const int64_t step = stride;
        const bool ahead = far && !HAS_SUMS, scatters = edge_ids && !runs && tile + 1 == tiles;
        const char* grads = static_cast<const char*>(call.dots);
        for (int64_t i = begin; i < end;) {
            const int64_t count = smaller(end - i, HELD - products.held);
            const I *index = indices + i, *ids = scatters ? edge_ids + i : nullptr;
            V* to = products.products + products.held;
            for (int64_t k = 0; k < count; k++) {
                if (ahead) prefetch(smaller(i + k + AHEAD, hi - 1));
                if (ids) __builtin_prefetch(grads + ids[k] * dot_bytes, 1);  // which `put` writes
                const A* column = x + index[k] * step;
                V product = V{};
                ((product = J ? fma<A, W>(load<V>(column + J * W), factor[J], product)
                              : load<V>(column) * factor[0]),
                 ...);
                to[k] = product;
            }
            i += count;
            products.held += count;
            if (products.held == HELD) write(products);
        }
    }

    // The dots of a single sample are products: none are held, as no lanes are to be summed.
    static void row_products(int64_t begin, int64_t end, const I* indices, const A* gathered,
                             int64_t stride, A factor, A* to) {
        for (int64_t i = begin; i < end; i++) to[i] = gathered[indices[i] * stride] * factor;
    }

    // The same where edges are in another order than positions.
    static void row_products(int64_t begin, int64_t end, const I* indices, const A* gathered,
                             int64_t stride, A factor, A* to, const I* ids) {
        for (int64_t i = begin; i < end; i++) to[ids[i]] = gathered[indices[i] * stride] * factor;
    }

    // Sums the products held across their lanes, adds the dots of earlier tiles, and writes them.
    void write(Products& products) const { write(products, LanesOf<W>()); }

    template <size_t... L>
    void write(Products& products, Lanes<L...> lanes) const {
        for (int64_t i = 0; i < products.held; i += W) {
            const int64_t position = products.position + i, count = products.held - i;
            V rows[W] = {products.products[i + L]...};
            V grad = sums<A, W>(rows, lanes);
            if (tile > 0) grad += load_as<A, W>(partial + position, count);
            if (direct || tile + 1 < tiles)
                store_as<A, W>(partial + position, grad, count);
            else
                put(grad, position, smaller(W, count));
        }
        products.position += products.held;
        products.held = 0;
    }

    // Writes the dots of `count` positions to their edges.
    void put(V grad, int64_t position, int64_t count) const {
        A out[W];
        store(out, grad);
        with_type<A>(call.edge_dtype, [&](auto type) {
            auto* to = static_cast<decltype(type)*>(call.dots);
            for (int64_t i = 0; i < count; i++)
                store_as<A, 1>(to + (edge_ids ? edge_ids[position + i] : position + i), out[i]);
        });
    }
};

// Cuts scratch into parts, one after the other. `size` is what they need, even if `base` is null.
struct Scratch {
    char* base;
    int64_t size = 0;

    template <class A>
    A* take(int64_t count) {
        A* part = base ? reinterpret_cast<A*>(base + size) : nullptr;
        size += ceil_div(count * static_cast<int64_t>(sizeof(A)), 64) * 64;
        return part;
    }
};

inline bool is_half(int32_t dtype) { return dtype == BFLOAT16 || dtype == FLOAT16; }

// How one call is computed: what is packed and put in order first, and how threads share the tiles.
template <class A, class I, int W, int NV, Product PRODUCT>
struct Plan {
    typedef Walk<A, I, W, NV, PRODUCT> TileWalk;
    static constexpr int64_t T = TileWalk::T;
    static constexpr bool HAS_SUMS = TileWalk::HAS_SUMS, HAS_DOTS = TileWalk::HAS_DOTS;

    const Call& call;
    const Matrix& x = call.gathered;
    TileWalk walk{call};  // what the walks over all tiles have in common
    int64_t tiles = walk.tiles, chunks = walk.chunks;
    int64_t columns = call.view.columns, tile_size = columns * T;
    int64_t products = T * (call.view.edges + call.view.rows + columns) * (PRODUCT == BOTH ? 2 : 1);
    bool cuts_rows = HAS_SUMS && !walk.runs && chunks > 1;

    // An operand that already lies as a packed one would is taken as it is.
    bool packed = !is_half(call.dtype) && (T == 1 ? x.feature_stride == 1
                                                  : x.sample_stride == 1 &&
                                                        (call.batch == T || call.may_read_beyond));
    // Where every thread can have tiles of its own, it packs one, walks it while the cache still
    // holds it, and packs the next one over it. Dots need all threads on the same tile.
    int64_t threads = larger(1, call.threads);
    bool even = tiles % threads == 0 || tiles >= 4 * threads;
    bool apart = !packed && (threads == 1 || (!HAS_DOTS && even));
    // How many tiles are packed at a time: each has a place in the scratch.
    int64_t most = larger(1, PACKED / larger(1, walk.tile_bytes));
    int64_t places = packed ? tiles : smaller(tiles, apart ? threads : most);
    // One pass puts the weight in order where several tiles would read it out of order. Not beside
    // dots, whose sums over tiles take as much scratch.
    bool many = PRODUCT == SUMS && call.view.edge_ids && tiles > 1;
    bool orders_weight = HAS_SUMS && (is_half(call.edge_dtype) || many);

    A* packed_tiles = nullptr;    // (places, columns, T)
    A* ordered_weight = nullptr;  // (edges,)
    A* cut_sums = nullptr;        // (places, chunks, 2, T)

    // Returns 0, or the bytes of scratch that the call needs and lacks.
    int64_t lay_out_scratch() {
        const uintptr_t base = (reinterpret_cast<uintptr_t>(call.scratch) + 63) / 64 * 64;
        Scratch scratch{reinterpret_cast<char*>(base)};
        packed_tiles = scratch.take<A>(packed ? 0 : places * tile_size);
        ordered_weight = scratch.take<A>(orders_weight ? call.view.edges : 0);
        cut_sums = scratch.take<A>(cuts_rows ? places * chunks * 2 * T : 0);
        if constexpr (HAS_DOTS) {
            walk.direct = !is_half(call.edge_dtype) && !call.view.edge_ids;
            walk.partial = walk.direct ? static_cast<A*>(call.dots)
                                       : scratch.take<A>(tiles > 1 ? call.view.edges : 0);
        }
        return scratch.size > 0 && !call.scratch ? scratch.size + 63 : 0;
    }

    // Copies the weight to `ordered_weight`, in the order of positions and in the type of sums.
    bool order_weight() {
        walk.weight = ordered_weight - walk.origin;
        walk.weight_ids = nullptr;
        return parallel(call, chunks, call.view.edges, [&](int64_t begin, int64_t end) {
            with_type<A>(call.edge_dtype, [&](auto type) {
                const auto* weight = static_cast<const decltype(type)*>(call.weight);
                for (int64_t c = begin; c < end; c++)
                    walk.order(c, weight, ordered_weight - walk.origin);
            });
        });
    }

    // Returns the walk over a tile, packed in one of the places.
    TileWalk walk_of(int64_t tile, int64_t place) const {
        TileWalk one = walk;
        one.tile = tile;
        one.gathered = packed ? static_cast<const A*>(x.data) + tile * T * x.sample_stride
                              : packed_tiles + place * tile_size;
        one.stride = packed ? x.feature_stride : T;
        if (cuts_rows) one.cut_sums = cut_sums + place * chunks * 2 * T;
        return one;
    }

    // Packs `count` columns of a tile.
    void pack_columns(int64_t tile, int64_t place, int64_t column, int64_t count) const {
        pack<A, W, NV>(call.dtype, x, column, count, tile * T, call.batch - tile * T,
                       packed_tiles + place * tile_size + column * T);
    }

    // Each thread walks tiles of its own.
    bool walk_tiles_apart() const {
        int64_t next = 0;
        return parallel(call, places, tiles * products, [&](int64_t begin, int64_t end) {
            for (int64_t place = begin; place < end; place++)
                for (int64_t t = take(next, 1); t < tiles; t = take(next, 1)) {
                    pack_columns(t, place, 0, columns);
                    const TileWalk one = walk_of(t, place);
                    for (int64_t c = 0; c < chunks; c++) one.walk_chunk(c);
                    if (cuts_rows)
                        for (int64_t c = 0; c + 1 < chunks; c++) one.join_cut_row(c);
                }
        });
    }

    // All threads walk the same tiles, as many at a time as there are places.
    bool walk_tiles_together() const {
        bool ok = true;
        for (int64_t first = 0; first < tiles; first += places) {
            const int64_t count = smaller(places, tiles - first);
            if (!packed) ok &= pack_tiles(first, count);
            ok &= walk_chunks(first, count);
            if (cuts_rows) ok &= join_cut_rows(first, count);
        }
        return ok;
    }

    bool pack_tiles(int64_t first, int64_t count) const {
        const int64_t parts = ceil_div(columns, PACK_COLUMNS);  // of each tile
        return parallel(call, count * parts, count * tile_size, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                const int64_t place = i / parts, column = i % parts * PACK_COLUMNS;
                pack_columns(first + place, place, column, smaller(PACK_COLUMNS, columns - column));
            }
        });
    }

    bool walk_chunks(int64_t first, int64_t count) const {
        if constexpr (HAS_DOTS)
            // A thread takes every tile over its own chunks: the tiles add up in a fixed order.
            return parallel(call, chunks, count * products, [&](int64_t begin, int64_t end) {
                for (int64_t place = 0; place < count; place++) {
                    const TileWalk one = walk_of(first + place, place);
                    for (int64_t c = begin; c < end; c++) one.walk_chunk(c);
                }
            });
        else
            return parallel(call, count * chunks, count * products, [&](int64_t from, int64_t to) {
                for (int64_t i = from; i < to; i++)
                    walk_of(first + i / chunks, i / chunks).walk_chunk(i % chunks);
            });
    }

    bool join_cut_rows(int64_t first, int64_t count) const {
        return parallel(call, chunks - 1, count * T * chunks, [&](int64_t begin, int64_t end) {
            for (int64_t place = 0; place < count; place++) {
                const TileWalk one = walk_of(first + place, place);
                for (int64_t c = begin; c < end; c++) one.join_cut_row(c);
            }
        });
    }
};

template <class A, class I, int W, int NV, Product PRODUCT>
int64_t run(const Call& call) {
    Plan<A, I, W, NV, PRODUCT> plan{call};
    const int64_t lacking = plan.lay_out_scratch();
    if (lacking) return lacking;
    bool ok = !plan.orders_weight || plan.order_weight();
    ok &= plan.apart ? plan.walk_tiles_apart() : plan.walk_tiles_together();
    return ok ? 0 : -1;
}

#include "spread.h"

// From here on, the call's types and sizes become template arguments, one at a time.

template <class A, class I, int W, int NV>
int64_t by_product(const Call& call) {
    if (call.product == BOTH) return run<A, I, W, NV, BOTH>(call);
    if (call.product == SPREAD) return spread<A, I, W, NV>(call);
    if (call.product == DOTS) return run<A, I, W, NV, DOTS>(call);
    return run<A, I, W, NV, SUMS>(call);
}

// Returns the samples of a tile: all alike, and as wide as the batch and the cache make worthwhile.
template <class A>
int64_t best_width(const Call& call) {
    constexpr int64_t W = VECTOR_BYTES / sizeof(A);
    const int64_t vectors = ceil_div(call.batch, W);
    const int64_t most = call.view.columns * 4 * VECTOR_BYTES <= WIDE || call.view.runs ? 4 : 2;
    return call.batch <= 8 ? call.batch : W * ceil_div(vectors, ceil_div(vectors, most));
}

template <class A, class I>
int64_t by_width(const Call& call) {
    constexpr int W = VECTOR_BYTES / sizeof(A);
    const int64_t width = call.width ? call.width : best_width<A>(call);
    if (width <= 1) return by_product<A, I, 1, 1>(call);
    if constexpr (W > 4)
        if (width <= 4) return by_product<A, I, 4, 1>(call);
    if constexpr (W > 8)
        if (width <= 8) return by_product<A, I, 8, 1>(call);
    if (width <= W) return by_product<A, I, W, 1>(call);
    if (width <= 2 * W) return by_product<A, I, W, 2>(call);
    if (width <= 3 * W) return by_product<A, I, W, 3>(call);
    return by_product<A, I, W, 4>(call);
}

template <class A>
int64_t by_index(const Call& call) {
    return call.view.index_bytes == 4 ? by_width<A, int32_t>(call) : by_width<A, int64_t>(call);
}

// Runs the call and returns 0; or returns the bytes of scratch that it needs and lacks, or -1 where
// torch's threads failed.
int64_t run(const Call& call) {
    return call.dtype == FLOAT64 ? by_index<double>(call) : by_index<float>(call);
}

#include "pass.h"

}  // namespace ISA
