// Walks by row that add to the columns of edges, whose weights are in order so: in a walk by column
// they would be read all over memory. Included after the walk over rows, inside the namespace of an
// instruction set.
//
// The columns are cut into blocks, each so small that a cache holds its sums while all rows pass.
// Of a row, a block has the positions between two cuts. They are searched for at each call, as the
// blocks depend on the tile and on the threads. The bits do not: a column adds up its edges one by
// one, in the order of rows, wherever blocks begin.

constexpr int64_t BLOCK = 1 << 22;  // bytes of the sums of a block
constexpr int64_t ROWS_AHEAD = 12;  // rows between the prefetch of what a block has of them and its use

template <class A, class I, int W, int NV>
struct Spread {
    static constexpr int64_t T = W * NV;
    typedef Vec<A, W> V;

    const Call& call;
    int64_t rows = call.view.rows, columns = call.view.columns;
    int64_t tiles = ceil_div(call.batch, T);
    // Each thread has blocks of its own, which are bands that are joined.
    int64_t bands = call.view.num_bands, threads = larger(1, call.threads);
    int64_t bytes = columns * T * static_cast<int64_t>(sizeof(A));
    int64_t blocks = smaller(bands, threads * larger(1, ceil_div(bytes, threads * BLOCK)));

    I* cuts = nullptr;   // (rows, blocks + 1): where the positions of each block begin
    A* tile = nullptr;   // (rows, T): the rows of the tile
    A* total = nullptr;  // (columns, T)

    // Returns 0, or the bytes of scratch that the call needs and lacks.
    int64_t lay_out_scratch() {
        const uintptr_t base = (reinterpret_cast<uintptr_t>(call.scratch) + 63) / 64 * 64;
        Scratch scratch{reinterpret_cast<char*>(base)};
        cuts = scratch.take<I>(rows * (blocks + 1));
        tile = scratch.take<A>(rows * T);
        total = scratch.take<A>(columns * T);
        return call.scratch ? 0 : scratch.size + 63;
    }

    int64_t first_column(int64_t block) const {
        return static_cast<const I*>(call.view.bands)[block * bands / blocks];
    }

    bool cut_rows() const {
        const I* indptr = static_cast<const I*>(call.view.indptr);
        const I* indices = static_cast<const I*>(call.view.indices);
        return parallel(call, rows, rows * blocks * 16, [&](int64_t begin, int64_t end) {
            for (int64_t row = begin; row < end; row++) {
                I* cut = cuts + row * (blocks + 1);
                cut[0] = indptr[row], cut[blocks] = indptr[row + 1];
                for (int64_t b = 1; b < blocks; b++) {
                    const int64_t first = first_column(b), from = cut[b - 1];
                    auto before = [&](int64_t i) { return indices[from + i] < first; };
                    cut[b] = static_cast<I>(from + first_not(cut[blocks] - from, before));
                }
            }
        });
    }

    bool pack_tile(int64_t sample) const {
        const int64_t parts = ceil_div(rows, PACK_COLUMNS);
        return parallel(call, parts, rows * T, [&](int64_t begin, int64_t end) {
            const int64_t row = begin * PACK_COLUMNS, last = smaller(end * PACK_COLUMNS, rows);
            pack<A, W, NV>(call.dtype, call.rowwise, row, last - row, sample, call.batch - sample,
                           tile + row * T);
        });
    }

    // Adds up and writes the columns of a block, for the tile that begins at `sample`.
    void add_block(int64_t block, int64_t sample) const {
        const int64_t first = first_column(block), count = first_column(block + 1) - first;
        A* sums = total + first * T;
        __builtin_memset(sums, 0, count * T * sizeof(A));
        add_rows(cuts + block, blocks + 1, rows, static_cast<const I*>(call.view.indices),
                 static_cast<const A*>(call.weight), tile, total, LanesOf<NV>());
        if (call.bias)
            with_type<A>(call.dtype, [&](auto type) {
                const auto* bias = static_cast<const decltype(type)*>(call.bias) + first;
                for (int64_t c = 0; c < count; c++)
                    for (int64_t t = 0; t < T; t++) sums[c * T + t] += load_as<A, 1>(bias + c);
            });
        unpack<A, W, NV>(call.dtype, sums, call.gathered, first, count, sample, call.batch - sample);
    }

    // A function without `this`, for the reason that `Walk::add_runs` has none.
    template <size_t... J>
    static void add_rows(const I* cut, int64_t stride, int64_t rows, const I* indices,
                         const A* weight, const A* tile, A* total, Lanes<J...>) {
        for (int64_t row = 0; row < rows; row++) {
            const int64_t ahead = cut[smaller(row + ROWS_AHEAD, rows - 1) * stride];
            __builtin_prefetch(indices + ahead);
            __builtin_prefetch(weight + ahead);
            const V x[NV] = {load<V>(tile + row * T + J * W)...};
            const int64_t end = cut[row * stride + 1];
            for (int64_t i = cut[row * stride]; i < end; i++) {
                const V w = broadcast<A, W>(weight[i]);
                A* sum = total + indices[i] * T;
                (store(sum + J * W, fma<A, W>(w, x[J], load<V>(sum + J * W))), ...);
            }
        }
    }

    bool add_tile(int64_t sample) const {
        const int64_t products = T * (call.view.edges + rows + columns);
        return parallel(call, blocks, products, [&](int64_t begin, int64_t end) {
            for (int64_t block = begin; block < end; block++) add_block(block, sample);
        });
    }
};

template <class A, class I, int W, int NV>
int64_t spread(const Call& call) {
    Spread<A, I, W, NV> plan{call};
    const int64_t lacking = plan.lay_out_scratch();
    if (lacking) return lacking;
    bool ok = plan.cut_rows();
    for (int64_t t = 0; t < plan.tiles; t++)
        ok = ok && plan.pack_tile(t * plan.T) && plan.add_tile(t * plan.T);
    return ok ? 0 : -1;
}
