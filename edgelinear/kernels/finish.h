// What becomes of sums before they are written: activations, their derivatives, and leaks. Included
// inside the namespace of an instruction set. Every lane is computed alike, wherever its sample
// stands: its bits do not depend on the batch.

template <class A>
struct Number;

template <>
struct Number<float> {
    typedef uint32_t Bits;
    static constexpr int MANTISSA = 23, BIAS = 127, TERMS = 7;
    static constexpr float ROUND = 0x1.8p23f, LIMIT = 20, SIGMOID_LIMIT = 87;
    static constexpr float LN2_HIGH = 0x1.63p-1f, LN2_LOW = -0x1.bd01060000000p-13f;
};

template <>
struct Number<double> {
    typedef uint64_t Bits;
    static constexpr int MANTISSA = 52, BIAS = 1023, TERMS = 13;
    static constexpr double ROUND = 0x1.8p52, LIMIT = 40, SIGMOID_LIMIT = 708;
    static constexpr double LN2_HIGH = 0x1.62e42fee00000p-1, LN2_LOW = 0x1.a39ef35793c76p-33;
};

// Returns exp(x) - 1, within two units in the last place, for x so small that 2**(x / ln 2) is
// finite. x = n ln 2 + r, and exp(r) - 1 is its Taylor series, whose error is below the last place.
template <class A, int N>
inline Vec<A, N> exp_minus_one(Vec<A, N> x) {
    typedef Number<A> Is;
    typedef Vec<A, N> V;
    typedef Vec<typename Is::Bits, N> U;
    const V shifted = fma<A, N>(x, broadcast<A, N>(A(1.4426950408889634)), broadcast<A, N>(Is::ROUND));
    const V n = shifted - broadcast<A, N>(Is::ROUND);
    V r = fma<A, N>(n, broadcast<A, N>(-Is::LN2_HIGH), x);
    r = fma<A, N>(n, broadcast<A, N>(-Is::LN2_LOW), r);
    // The last bits of `shifted` are n: moved into the exponent, they are 2**n.
    const U exponent = (bits<U>(shifted) << Is::MANTISSA) +
                       (static_cast<typename Is::Bits>(Is::BIAS) << Is::MANTISSA);
    const V power = bits<V>(exponent);
    A coefficient = 1;  // of r**k in (exp(r) - 1 - r) / r**2
    for (int k = 2; k <= Is::TERMS; k++) coefficient /= k;
    V series = broadcast<A, N>(coefficient);
    for (int k = Is::TERMS; k > 2; k--) {
        coefficient *= k;
        series = fma<A, N>(series, r, broadcast<A, N>(coefficient));
    }
    return fma<A, N>(power, fma<A, N>(r * r, series, r), power - A(1));
}

// Returns x between the two limits; NaN stays NaN.
template <class A, int N>
inline Vec<A, N> between(A low, Vec<A, N> x, A high) {
    x = x < low ? broadcast<A, N>(low) : x;
    return x > high ? broadcast<A, N>(high) : x;
}

template <class A, int N>
inline Vec<A, N> tanh_of(Vec<A, N> x) {
    typedef Vec<typename Number<A>::Bits, N> U;
    const U sign = bits<U>(x) & (static_cast<typename Number<A>::Bits>(1) << (8 * sizeof(A) - 1));
    const Vec<A, N> size = bits<Vec<A, N>>(bits<U>(x) ^ sign);
    const Vec<A, N> e = exp_minus_one<A, N>(between<A, N>(0, size + size, Number<A>::LIMIT));
    return bits<Vec<A, N>>(bits<U>(Vec<A, N>(e / (e + A(2)))) | sign);
}

template <class A, int N>
inline Vec<A, N> sigmoid_of(Vec<A, N> x) {
    constexpr A LIMIT = Number<A>::SIGMOID_LIMIT;
    return A(1) / (exp_minus_one<A, N>(between<A, N>(-LIMIT, -x, LIMIT)) + A(2));
}

template <class A, int N>
inline Vec<A, N> activate(int64_t activation, Vec<A, N> z) {
    if (activation == RELU) return z < A(0) ? Vec<A, N>{} : z;
    if (activation == TANH) return tanh_of<A, N>(z);
    if (activation == SIGMOID) return sigmoid_of<A, N>(z);
    return z;
}

// Returns `grad` times the derivative of the activation where it gave `h`.
template <class A, int N>
inline Vec<A, N> derive(int64_t activation, Vec<A, N> grad, Vec<A, N> h) {
    if (activation == RELU) return h > A(0) ? grad : Vec<A, N>{};
    if (activation == TANH) return grad * (A(1) - h * h);
    if (activation == SIGMOID) return grad * (h * (A(1) - h));
    return grad;
}

// Returns the row of `added` for a row of the pass, or null if it has none. `next` is where to
// look among the pairs: rows are asked for in order.
template <class A>
const A* added_row(const Finish& finish, int64_t row, int64_t& next) {
    const A* added = static_cast<const A*>(finish.added);
    if (!added) return nullptr;
    if (!finish.pairs) return row < finish.num_added ? added + row * finish.stride : nullptr;
    while (next < finish.num_added && finish.pairs[2 * next] < row) next++;
    const bool has = next < finish.num_added && finish.pairs[2 * next] == row;
    return has ? added + finish.pairs[2 * next + 1] * finish.stride : nullptr;
}

// Finishes the sums of `count` rows, of the `samples` that are left from `sample` on.
template <class A, int W, int NV>
void finish_sums(const Finish& finish, A* sums, int64_t row, int64_t count, int64_t sample,
                 int64_t samples) {
    typedef Vec<A, W> V;
    const Group* group = finish.groups;
    auto before = [&](int64_t i) { return finish.pairs[2 * i] < finish.row + row; };
    int64_t next = finish.pairs ? first_not(finish.num_added, before) : 0;
    sample += finish.sample;
    for (int64_t r = finish.row + row; r < finish.row + row + count; r++, sums += W * NV) {
        while (group[1].first <= r) group++;
        const A* added = added_row<A>(finish, r, next);
        for (int64_t j = 0; j < NV && j * W < samples; j++) {
            const int64_t present = samples - j * W, column = sample + j * W;
            const int64_t at = r * finish.stride + column;
            auto part_of = [&](const void* matrix) {
                return load_as<A, W>(static_cast<const A*>(matrix) + at, present);
            };
            V v = load<V>(sums + j * W);
            if (finish.mode == DERIVE_SUM)
                v = derive<A, W>(group->activation, v, part_of(finish.state));
            if (added) v += load_as<A, W>(added + column, present);
            if (finish.mode == ACTIVATE) v = activate<A, W>(group->activation, v);
            if (finish.leak) {
                const A leak = static_cast<const A*>(finish.leak)[r];
                const V previous = part_of(finish.previous);
                const bool forward = finish.mode == ACTIVATE || finish.mode == INTEGRATE;
                if (finish.drive) store_as<A, W>(static_cast<A*>(finish.drive) + at, v, present);
                const V mixed = forward ? previous + leak * (v - previous)
                                        : v + (A(1) - leak) * previous;
                store_as<A, W>(static_cast<A*>(finish.mixed) + at, mixed, present);
                if (finish.mode == INTEGRATE) v = activate<A, W>(group->activation, mixed);
                if (!forward) v = leak * mixed;
            }
            if (finish.mode == DERIVE)
                v = derive<A, W>(group->activation, v, part_of(finish.state));
            if (finish.mode == SCALE) v = v * part_of(finish.state);
            store(sums + j * W, v);
        }
    }
}
