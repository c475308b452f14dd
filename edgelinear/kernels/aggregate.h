// Nodes that aggregate what comes in otherwise than by sums, and the derivatives of that. Included
// after the walk, inside the namespace of an instruction set.
//
// A message is a weight times the value of a source. Those of a node are written one after the
// other, each for a vector of samples, and once more where derivatives are asked for. Of equal
// messages the first is chosen; those that are not get no gradient, whatever weight and source are.

// The messages of a node, and room for what is computed of them.
template <class A>
struct Messages {
    static constexpr int W = VECTOR_BYTES / sizeof(A);
    typedef Vec<A, W> V;
    typedef std::make_signed_t<typename Number<A>::Bits> Integer;
    typedef Vec<Integer, W> Index;

    const Aggregates& nodes;
    int64_t stride;  // between rows
    V *messages, *before, *sums;
    Index* order;  // in the room of `before`

    Messages(const Pass& pass, int64_t share) : nodes(pass.aggregates), stride(pass.finish.stride) {
        messages = static_cast<V*>(nodes.scratch) + share * 3 * nodes.most;
        before = messages + nodes.most, sums = before + nodes.most;
        order = reinterpret_cast<Index*>(before);
    }

    static int64_t bytes(const Pass& pass) { return 3 * pass.aggregates.most * VECTOR_BYTES; }

    int64_t edges(int64_t n) const { return nodes.nodes[n + 1].begin - nodes.nodes[n].begin; }

    V source(int64_t edge, int64_t sample, int64_t present) const {
        const A* values = static_cast<const A*>(nodes.values);
        return load_as<A, W>(values + nodes.sources[edge] * stride + sample, present);
    }

    // Returns what node n aggregates of some samples, of which `present` are left. With SLOPES, its
    // derivatives by the messages stand in their place then.
    template <bool SLOPES>
    V aggregate(int64_t n, int64_t sample, int64_t present) {
        const Node& node = nodes.nodes[n];
        const int64_t count = edges(n);
        const A* weight = static_cast<const A*>(nodes.weight) + node.begin;
        for (int64_t i = 0; i < count; i++)
            messages[i] = weight[i] * source(node.begin + i, sample, present);
        if (node.aggregation == Aggregation::PRODUCT) return product<SLOPES>(count);
        if (count == 0) return V{};
        if (node.aggregation == Aggregation::MEDIAN) return median<SLOPES>(count);
        return extreme<SLOPES>(node.aggregation, count);
    }

    template <bool SLOPES>
    V product(int64_t count) {
        V result = broadcast<A, W>(1), after = result;
        for (int64_t i = 0; i < count; i++) {
            before[i] = result;
            result = result * messages[i];
        }
        for (int64_t i = count - 1; SLOPES && i >= 0; i--) {
            const V message = messages[i];
            messages[i] = before[i] * after;
            after = after * message;
        }
        return result;
    }

    // Returns the first message of the largest size, or the first that is NaN.
    template <bool SLOPES>
    V extreme(Aggregation aggregation, int64_t count) {
        auto size_of = [&](V message) -> V {
            if (aggregation == Aggregation::MAX) return message;
            if (aggregation == Aggregation::MIN) return -message;
            return message < A(0) ? -message : message;
        };
        V chosen = messages[0], size = size_of(chosen);
        Index at = {};
        for (int64_t i = 1; i < count; i++) {
            const V other = size_of(messages[i]);
            const Index better = (other > size) | ((other != other) & (size == size));
            chosen = better ? messages[i] : chosen;
            size = better ? other : size;
            at = better ? broadcast<Integer, W>(Integer(i)) : at;
        }
        if (SLOPES) choose(at, at, count);
        return chosen;
    }

    // Returns the middle one in the order of messages, or the mean of the two; or NaN where one is.
    template <bool SLOPES>
    V median(int64_t count) {
        Index nan = broadcast<Integer, W>(-1);  // the first of these
        for (int64_t i = 0; i < count; i++) {
            order[i] = broadcast<Integer, W>(Integer(i));
            const Index is_first = (nan < 0) & (messages[i] != messages[i]);
            nan = is_first ? order[i] : nan;
        }
        sort(count);
        const int64_t low = (count - 1) / 2, high = count / 2;
        const V middle = low == high ? messages[low] : (messages[low] + messages[high]) / A(2);
        if (SLOPES) choose(nan < 0 ? order[low] : nan, nan < 0 ? order[high] : nan, count);
        return nan < 0 ? middle : broadcast<A, W>(A(__builtin_nan("")));
    }

    // Writes the slopes of a mean of two messages, which may be one.
    void choose(Index one, Index other, int64_t count) {
        const V half = broadcast<A, W>(A(0.5));
        for (int64_t i = 0; i < count; i++)
            messages[i] = (one == Integer(i) ? half : V{}) + (other == Integer(i) ? half : V{});
    }

    // Sorts messages, and equal ones by their order, in every lane alike: Batcher's merge exchange
    // (Knuth, The Art of Computer Programming, 5.2.2, algorithm M).
    void sort(int64_t count) {
        int64_t top = 1;
        while (2 * top < count) top *= 2;
        for (int64_t p = top; p > 0; p /= 2)
            for (int64_t q = top, r = 0, d = p; q >= p; d = q - p, q /= 2, r = p)
                for (int64_t i = 0; i + d < count; i++)
                    if ((i & p) == r) exchange(i, i + d);
    }

    void exchange(int64_t i, int64_t j) {
        const V a = messages[i], b = messages[j];
        const Index m = order[i], n = order[j], swap = (a > b) | ((a == b) & (m > n));
        messages[i] = swap ? b : a, messages[j] = swap ? a : b;
        order[i] = swap ? n : m, order[j] = swap ? m : n;
    }
};

// Calls `function(messages, begin, end)` on parts of [0, count), each with messages of its own.
template <class A, class Function>
bool with_messages(const Pass& pass, int64_t count, int64_t edges, Function function) {
    const int64_t shares = smaller(count, shares_of(pass.call));
    return parallel(pass.call, shares, 2 * edges * pass.call.batch, [&](int64_t begin, int64_t end) {
        for (int64_t share = begin; share < end; share++) {
            Messages<A> messages(pass, share);
            function(messages, share * count / shares, (share + 1) * count / shares);
        }
    });
}

// The nodes that aggregate among the rows of a level.
struct Range {
    int64_t begin, end, edges;

    Range(const Aggregates& nodes, int64_t first, int64_t last) {
        auto from = [&](int64_t row) {
            return first_not(nodes.count, [&](int64_t n) { return nodes.nodes[n].row < row; });
        };
        begin = from(first), end = from(last);
        edges = nodes.nodes[end].begin - nodes.nodes[begin].begin;
    }
};

template <class A>
A response_of(const Aggregates& nodes, int64_t n) {
    return nodes.response ? static_cast<const A*>(nodes.response)[n] : A(1);
}

// Returns the gradient by the sum of node n, which is its response times what it aggregates.
template <class A>
Vec<A, Messages<A>::W> gradient_of(const Pass& pass, int64_t n, int64_t sample, int64_t present) {
    const int64_t at = pass.aggregates.nodes[n].row * pass.finish.stride + sample;
    return load_as<A, Messages<A>::W>(static_cast<const A*>(pass.call.sums.data) + at, present);
}

// Aggregates at the nodes of a level, whose call this is, and finishes that as sums are.
template <class A>
bool aggregate_level(const Pass& pass, const Call& call, int64_t first) {
    constexpr int W = Messages<A>::W;
    const Aggregates& nodes = pass.aggregates;
    const Range range(nodes, first, first + call.view.rows);
    const int64_t vectors = ceil_div(call.batch, W), count = (range.end - range.begin) * vectors;
    return with_messages<A>(pass, count, range.edges, [&](auto& messages, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            const int64_t n = range.begin + i / vectors, sample = i % vectors * W;
            const int64_t row = nodes.nodes[n].row - first;
            const int64_t column = pass.finish.sample + sample, present = call.batch - sample;
            Vec<A, W> z = messages.template aggregate<false>(n, column, present);
            z = response_of<A>(nodes, n) * z;
            if (call.bias) z = z + static_cast<const A*>(call.bias)[row];
            finish_vector<A, W>(call, z, row, sample);
        }
    });
}

// Adds to the gradients of sources, which are `added`, those of the messages to a level's nodes.
template <class A>
bool push_level(const Pass& pass, int64_t first, int64_t last) {
    constexpr int W = Messages<A>::W;
    typedef Vec<A, W> V;
    const Aggregates& nodes = pass.aggregates;
    const Range range(nodes, first, last);
    const int64_t batch = pass.call.batch, vectors = ceil_div(batch, W);
    A* added = static_cast<A*>(const_cast<void*>(pass.finish.added)) + pass.finish.sample;
    auto push = [&](Messages<A>& messages, int64_t n, int64_t sample) {
        const Node& node = nodes.nodes[n];
        const int64_t present = batch - sample;
        const V gradient = response_of<A>(nodes, n) * gradient_of<A>(pass, n, sample, present);
        messages.template aggregate<true>(n, pass.finish.sample + sample, present);
        const A* weight = static_cast<const A*>(nodes.weight) + node.begin;
        const int64_t* sources = nodes.sources + node.begin;
        for (int64_t e = 0; e < messages.edges(n); e++) {
            A* to = added + sources[e] * messages.stride + sample;
            const V slope = messages.messages[e];
            const V part = slope == A(0) ? V{} : gradient * slope * weight[e];
            store_as<A, W>(to, load_as<A, W>(to, present) + part, present);
        }
    };
    // Samples are shared out, as nodes may have the same sources.
    return with_messages<A>(pass, vectors, range.edges, [&](auto& messages, int64_t begin, int64_t end) {
        for (int64_t n = range.begin; n < range.end; n++)
            for (int64_t i = begin; i < end; i++) push(messages, n, i * W);
    });
}

// Writes the gradients of weights, and of responses if there are any: sums over all samples, in
// their order.
template <class A>
bool collect(const Pass& pass) {
    constexpr int W = Messages<A>::W;
    typedef Vec<A, W> V;
    const Aggregates& nodes = pass.aggregates;
    const int64_t batch = pass.call.batch, edges = nodes.nodes[nodes.count].begin;
    auto total = [](V lanes) {
        A sum = 0;
        for (int lane = 0; lane < W; lane++) sum += lanes[lane];
        return sum;
    };
    auto of_node = [&](Messages<A>& messages, int64_t n) {
        const int64_t first = nodes.nodes[n].begin, count = messages.edges(n);
        for (int64_t e = 0; e < count; e++) messages.sums[e] = V{};
        V by_response = {};
        for (int64_t sample = 0; sample < batch; sample += W) {
            const int64_t present = batch - sample;
            typename Messages<A>::Index absent = {};
            for (int64_t lane = present; lane < W; lane++) absent[lane] = -1;
            const V by_sum = gradient_of<A>(pass, n, sample, present);
            const V gradient = response_of<A>(nodes, n) * by_sum;
            const V value = messages.template aggregate<true>(n, sample, present);
            by_response += absent ? V{} : by_sum * value;
            for (int64_t e = 0; e < count; e++) {
                const V slope = messages.messages[e];
                const V part = gradient * slope * messages.source(first + e, sample, present);
                messages.sums[e] += (absent | (slope == A(0))) ? V{} : part;
            }
        }
        A* by_weight = static_cast<A*>(nodes.grad_weight) + first;
        for (int64_t e = 0; e < count; e++) by_weight[e] = total(messages.sums[e]);
        if (nodes.response) static_cast<A*>(nodes.grad_response)[n] = total(by_response);
    };
    return with_messages<A>(pass, nodes.count, edges, [&](auto& messages, int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; n++) of_node(messages, n);
    });
}
