// Both ends of the recursion, of one row: embeddings before it, the two heads after it.

#pragma once

#include "layout.h"
#include "products.h"

namespace {

void read_row(const Shape& s, const float* from, float* to) {
    for (int i = 0; i < s.S; i++) std::memcpy(to + i * s.Dp, from + (size_t)i * s.D, s.D * 4);
}

void write_row(const Shape& s, const float* from, float* to) {
    for (int i = 0; i < s.S; i++) std::memcpy(to + (size_t)i * s.D, from + i * s.Dp, s.D * 4);
}

INLINE void add(const Shape& s, const float* a, const float* b, float* to) {
    for (int i = 0; i < s.S * s.Dp; i += W) store(to + i, load(a + i) + load(b + i));
}

void embed(const Task& z, const Shape& s, int r, float* x) {
    if (z.x) {
        read_row(s, z.x + (size_t)r * s.S * s.D, x);
        return;
    }
    for (int i = 0; i < s.prefix; i++)
        for (int d = 0; d < s.D; d++) {
            int at = i * s.D + d;
            x[i * s.Dp + d] = at < s.puzzle ? z.scale * z.puzzles[(size_t)r * s.puzzle + at] : 0.0f;
        }
    const int32_t* tokens = z.tokens + (size_t)r * (s.S - s.prefix);
    for (int i = s.prefix; i < s.S; i++) {
        const float* from = z.table + (size_t)tokens[i - s.prefix] * s.D;
        for (int d = 0; d < s.D; d++) x[i * s.Dp + d] = z.scale * from[d];
    }
}

// The answer's head, packed for forward or for backward.
struct Head_weights {
    float* lm;
    bool back;
    Head_weights() : lm(nullptr), back(false) {}
    Head_weights(const Shape& s, Pieces& room, bool back)
        : lm(room.take(back ? panels(s.vocab, s.D) : panels(s.D, s.vocab))), back(back) {}
    void fill(const Shape& s, const Task& z) const {
        if (back)
            pack_columns(z.lm_head, s.vocab, s.D, lm, [](int k) { return k; });
        else
            pack_rows(z.lm_head, s.vocab, s.D, lm);
    }
};

size_t head_room(const Shape& s) { return (size_t)(s.S - s.prefix) * padded(s.vocab); }

void say(const Task& z, const Shape& s, const Head_weights& ends, const float* H, float* room,
         float* logits, float* q) {
    const int n = s.S - s.prefix, wide = padded(s.vocab);
    product<false>(n, wide / W, s.D, H + (size_t)s.prefix * s.Dp, s.Dp, packed(ends.lm, s.D),
                   Store(room, wide));
    for (int i = 0; i < n; i++)
        std::memcpy(logits + (size_t)i * s.vocab, room + (size_t)i * wide, s.vocab * 4);
    for (int j = 0; j < 2; j++) {
        q[j] = z.q_bias[j];
        for (int d = 0; d < s.D; d++) q[j] += H[d] * z.q_head[j * s.D + d];
    }
}

// Gradients of both ends' weights as one thread adds them up.
struct Head_sums {
    float *table, *lm, *q, *bias;
    Head_sums(const Shape& s, Pieces& room, bool tokens)
        : table(room.take(tokens ? (size_t)s.vocab * s.Dp : 0)),
          lm(room.take((size_t)s.vocab * s.Dp)),
          q(room.take((size_t)2 * s.Dp)),
          bias(room.take(2)) {}

    void give(const Shape& s, bool more, float* d_table, float* d_lm, float* d_q,
              float* d_bias) const {
        auto rows = [&](const float* from, int count, float* to) {
            for (int i = 0; i < count; i++)
                for (int d = 0; d < s.D; d++) {
                    float& at = to[(size_t)i * s.D + d];
                    at = more ? at + from[(size_t)i * s.Dp + d] : from[(size_t)i * s.Dp + d];
                }
        };
        if (d_table) rows(table, s.vocab, d_table);
        rows(lm, s.vocab, d_lm), rows(q, 2, d_q);
        for (int j = 0; j < 2; j++) d_bias[j] = more ? d_bias[j] + bias[j] : bias[j];
    }
};

// The gradient of the last state from those of what was said of it.
void unsay(const Task& z, const Shape& s, const Head_weights& ends, const Head_sums& to,
           const float* H, const float* d_logits, const float* d_q, float* d) {
    const int n = s.S - s.prefix;
    std::memset(d, 0, (size_t)s.S * s.Dp * 4);
    if (d_logits) {
        const size_t behind = (size_t)s.prefix * s.Dp;
        product<false>(n, s.Dp / W, s.vocab, d_logits, s.vocab, packed(ends.lm, s.vocab),
                       Store(d + behind, s.Dp));
        product<true>(s.vocab, s.Dp / W, n, d_logits, s.vocab, beside(H + behind, s.Dp),
                      Add(to.lm, to.lm, s.Dp));
    }
    for (int j = 0; j < 2; j++) {
        to.bias[j] += d_q[j];
        for (int i = 0; i < s.D; i++) {
            d[i] += d_q[j] * z.q_head[j * s.D + i];
            to.q[j * s.Dp + i] += d_q[j] * H[i];
        }
    }
}

// What the gradient of x is to what was embedded.
void unembed(const Task& z, const Shape& s, int r, const float* dx, const Head_sums& to,
             float* d_puzzles, float* d_x) {
    if (z.x) {
        if (d_x) write_row(s, dx, d_x + (size_t)r * s.S * s.D);
        return;
    }
    if (d_puzzles)
        for (int at = 0; at < s.puzzle; at++)
            d_puzzles[(size_t)r * s.puzzle + at] = z.scale * dx[at / s.D * s.Dp + at % s.D];
    const int32_t* tokens = z.tokens + (size_t)r * (s.S - s.prefix);
    for (int i = s.prefix; i < s.S; i++) {
        float* sum = to.table + (size_t)tokens[i - s.prefix] * s.Dp;
        for (int d = 0; d < s.Dp; d += W)
            store(sum + d, load(sum + d) + z.scale * load(dx + i * s.Dp + d));
    }
}

}  // namespace
