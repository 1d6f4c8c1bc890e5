// A supervision step of a TRM in float32, row by row of a batch so that a row stays in cache.
//
// Plain C++17 with the vector extensions of GCC and Clang: no header of torch, nothing but pointers
// at the border. The mathematics is that of trm/network/model.py and layers.py, which are the
// definition; here is only another order of the same sums.
//
// A row's state is [S, D]: S positions, D channels, channels side by side and padded with zeros to
// whole vectors. Every product is C[M, N] = A[M, K] B[K, N] with N along the vectors and scalars of
// A broadcast: a map of channels has the state as A and the weights as B, a map of positions
// (mlp_t) the weights as A and the state as B, so that neither transposes the state.

#include <exception>
#include <thread>
#include <vector>

#include "cells.h"
#include "heads.h"
#include "passes.h"

namespace {

template <class Work>
void in_threads(int rows, int threads, Work work) {
    auto first = [&](int t) { return (int)((int64_t)rows * t / threads); };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++)
        others.emplace_back([&, t] { work(t, first(t), first(t + 1)); });
    work(0, 0, first(1));
    for (auto& thread : others) thread.join();
}

int threads_of(const Task& z) { return z.threads < 1 || !z.rows ? 1 : z.threads > z.rows ? z.rows : z.threads; }

size_t kept_floats(const Shape& s) {
    Pieces count{nullptr};
    Kept(s, count);
    return count.used;
}

float* whole_line(float* p) { return (float*)(((uintptr_t)p + 63) / 64 * 64); }

// The last cycles of a row, whose updates from `first` on keep what backward needs.
void recur(const Task& z, const Shape& s, const std::vector<Layer>& layers, const Scratch& w,
           const Kept* kept, const float* x, float* H, float* L, float* injected, float* h) {
    const Tables tables{z.cosines, z.sines};
    auto update = [&](const float* a, const float* b, float* to, int u) {
        if (u < 0) {
            add(s, a, b, h);
            for (const Layer& y : layers) layer_forward<false>(s, y, tables, w, h, h, nullptr, 0);
            std::memcpy(to, h, (size_t)s.S * s.Dp * 4);
            return;
        }
        add(s, a, b, kept->state(s, 0, u));
        for (int l = 0; l < s.layers; l++)
            layer_forward<true>(s, layers[l], tables, w, kept->state(s, l, u),
                                kept->state(s, l + 1, u), &kept->of[l], u);
        std::memcpy(to, kept->state(s, s.layers, u), (size_t)s.S * s.Dp * 4);
    };
    for (int c = 0; c < z.H_cycles; c++) {
        const bool last = kept && c == z.H_cycles - 1;
        add(s, H, x, injected);
        for (int i = 0; i < z.L_cycles; i++)
            update(L, injected, L, last ? i - (z.L_cycles - z.L_kept) : -1);
        update(H, L, H, last ? z.L_kept : -1);
    }
}

// What one thread needs for the rows that it takes forward.
struct Forward {
    Scratch w;
    float *H, *L, *X, *injected, *h, *said;
    Forward(const Shape& s, Pieces& room) : w(s, room) {
        const size_t SD = (size_t)s.S * s.Dp;
        H = room.take(SD), L = room.take(SD), X = room.take(SD);
        injected = room.take(SD), h = room.take(SD), said = room.take(head_room(s));
    }

    void row(const Task& z, const Shape& s, const std::vector<Layer>& layers,
             const Head_weights& ends, const Kept* kept, int r, const float* z_H, const float* z_L,
             float* new_H, float* new_L, float* logits, float* q) const {
        const size_t row = (size_t)r * s.S * s.D;
        read_row(s, z_H + row, H), read_row(s, z_L + row, L);
        embed(z, s, r, X);
        recur(z, s, layers, w, kept, X, H, L, injected, h);
        write_row(s, H, new_H + row), write_row(s, L, new_L + row);
        say(z, s, ends, H, said, logits, q);
    }
};

// What one thread needs for the rows that it takes back, and the gradients that it adds up.
struct Backward {
    bool together;  // while a row stays in cache, its weights' gradients are one product over all updates
    Sums sums;
    Head_sums outer;
    BackScratch w;
    Backward(const Task& z, const Shape& s, Pieces& room)
        : together(kept_floats(s) * 4 < (512 << 10)),
          sums(s, room), outer(s, room, !z.x), w(s, room, together ? s.kept : 1) {}

    void row(const Task& z, const Shape& s, const std::vector<Layer>& layers,
             const Head_weights& ends, const Kept& k, int r, const float* d_logits,
             const float* d_q, float* d_puzzles, float* d_x) const {
        const Tables tables{z.cosines, z.sines};
        unsay(z, s, ends, outer, k.state(s, s.layers, s.kept - 1), d_logits, d_q, w.d);
        std::memset(w.dx, 0, (size_t)s.S * s.Dp * 4);
        for (int u = s.kept - 1; u >= 0; u--) {
            for (int l = s.layers - 1; l >= 0; l--) {
                layer_backward(s, layers[l], tables, k, l, u, w, together ? u : 0, sums.of[l]);
                if (!together) weight_sums(s, k.of[l], w.of[l], sums.of[l], u, 1, 0);
            }
            if (u < s.kept - 1) add(s, w.dx, w.d, w.dx);
        }
        for (int l = 0; l < s.layers && together; l++)
            weight_sums(s, k.of[l], w.of[l], sums.of[l], 0, s.kept, 0);
        unembed(z, s, r, w.dx, outer, d_puzzles, d_x);
    }

    void give(const Shape& s, bool more, const Gradients& to) const {
        for (int l = 0; l < s.layers; l++) sums.give(s, l, more, to.weights + 4 * l);
        outer.give(s, more, to.table, to.lm_head, to.q_head, to.q_bias);
    }
};

// The weights as products like them, for one direction or for both.
struct Packed {
    Buffer store;
    std::vector<Layer> layers;
    Head_weights ends, back_ends;
    Packed(const Task& z, const Shape& s, bool ahead, bool back) : store(floats(z, s, back)), ends() {
        Pieces room{store.at};
        layers = lay_out(s, room, z.weights, back);
        if (ahead) fill(s, layers, false);
        if (back) fill(s, layers, true);
        ends = Head_weights(s, room, false), back_ends = Head_weights(s, room, true);
        if (ahead) ends.fill(s, z);
        if (back) back_ends.fill(s, z);
    }
    static size_t floats(const Task& z, const Shape& s, bool back) {
        Pieces room{nullptr};
        lay_out(s, room, nullptr, back);
        Head_weights(s, room, false), Head_weights(s, room, true);
        return room.used;
    }
};

// One room for each thread, as large as `Needs` takes.
template <class Needs>
std::vector<Buffer> rooms_of(int threads, Needs needs) {
    Pieces sizes{nullptr};
    needs(sizes);
    std::vector<Buffer> rooms;
    for (int t = 0; t < threads; t++) rooms.emplace_back(sizes.used);
    return rooms;
}

bool sound(const Task& z, const Shape& s) {
    if (z.x) return true;
    for (int64_t i = 0; i < (int64_t)z.rows * (s.S - s.prefix); i++)
        if (z.tokens[i] < 0 || z.tokens[i] >= s.vocab) return false;
    return true;
}

// As in trm/network/fused/library.py.
constexpr int32_t DONE = 0, MEMORY = 1, TOKEN = 2, LABEL = 3;

}  // namespace

extern "C" {

// Floats that `forward` keeps for `backward`, all rows together.
int64_t kept_size(const Task* z) { return (int64_t)(kept_floats(Shape(*z)) * z->rows + 16); }

// z_H, z_L [rows, S, D] to the new ones, and both heads: logits [rows, S - prefix, vocab] and two
// numbers a row, q [rows, 2]. `kept` may be null.
int32_t forward(const Task* z, const float* z_H, const float* z_L, float* new_H, float* new_L,
                float* logits, float* q, float* kept) try {
    const Shape s(*z);
    if (!sound(*z, s)) return TOKEN;
    const Packed weights(*z, s, true, false);
    const size_t keep = kept_floats(s), said = (size_t)(s.S - s.prefix) * s.vocab;
    float* first = kept ? whole_line(kept) : nullptr;
    const int threads = threads_of(*z);
    auto rooms = rooms_of(threads, [&](Pieces& room) { Forward(s, room); });
    in_threads(z->rows, threads, [&](int thread, int begin, int end) {
        Pieces pieces{rooms[thread].at};
        const Forward ahead(s, pieces);
        for (int r = begin; r < end; r++) {
            Pieces mine{first ? first + r * keep : nullptr};
            const Kept k(s, mine);
            ahead.row(*z, s, weights.layers, weights.ends, first ? &k : nullptr, r, z_H, z_L, new_H,
                      new_L, logits + r * said, q + 2 * r);
        }
    });
    return DONE;
} catch (const std::exception&) {
    return MEMORY;
}

// From the gradients of the heads' outputs, each of which may be null, to those of the weights and
// of what was embedded; overwrites `kept`.
int32_t backward(const Task* z, float* kept, const float* d_logits, const float* d_q,
                 const Gradients* to) try {
    const Shape s(*z);
    const Packed weights(*z, s, false, true);
    const size_t keep = kept_floats(s), said = (size_t)(s.S - s.prefix) * s.vocab;
    float* first = whole_line(kept);
    const int threads = threads_of(*z);
    auto rooms = rooms_of(threads, [&](Pieces& room) { Backward(*z, s, room); });
    const float none[2] = {0.0f, 0.0f};
    in_threads(z->rows, threads, [&](int thread, int begin, int end) {
        Pieces pieces{rooms[thread].at};
        const Backward back(*z, s, pieces);
        for (int r = begin; r < end; r++) {
            Pieces mine{first + r * keep};
            back.row(*z, s, weights.layers, weights.back_ends, Kept(s, mine), r,
                     d_logits ? d_logits + r * said : nullptr, d_q ? d_q + 2 * r : none,
                     to->puzzles, to->x);
        }
    });
    for (int t = 0; t < threads; t++) {  // in this order, whatever thread was done first
        Pieces pieces{rooms[t].at};
        Backward(*z, s, pieces).give(s, t > 0, *to);
    }
    return DONE;
} catch (const std::exception&) {
    return MEMORY;
}

// Forward, loss (of softmax instead of stablemax) and backward of a row while it is in cache. `factor` [rows] is what a row's loss
// counts, `said` [rows, 2] becomes its token loss and its halting loss, `right` [rows] whether every
// counted cell is its label.
int32_t learn(const Task* z, const float* z_H, const float* z_L, float* new_H, float* new_L, float* q,
              int32_t softmax, const int32_t* labels, const double* factor, double halt_weight,
              double* said, uint8_t* right, const Gradients* to) try {
    const Shape s(*z);
    if (!sound(*z, s)) return TOKEN;
    const int cells = s.S - s.prefix;
    for (int64_t i = 0; i < (int64_t)z->rows * cells; i++)
        if (labels[i] != IGNORE && (labels[i] < 0 || labels[i] >= s.vocab)) return LABEL;
    const Packed weights(*z, s, true, true);
    const int threads = threads_of(*z);
    const size_t width = (size_t)cells * s.vocab;
    auto rooms = rooms_of(threads, [&](Pieces& room) {
        Backward(*z, s, room), Forward(s, room), Kept(s, room), room.take(2 * width);
    });
    in_threads(z->rows, threads, [&](int thread, int begin, int end) {
        Pieces pieces{rooms[thread].at};
        const Backward back(*z, s, pieces);
        const Forward ahead(s, pieces);
        const Kept k(s, pieces);
        float *logits = pieces.take(2 * width), *d_logits = logits + width, d_q[2] = {0.0f, 0.0f};
        for (int r = begin; r < end; r++) {
            ahead.row(*z, s, weights.layers, weights.ends, &k, r, z_H, z_L, new_H, new_L, logits,
                      q + 2 * r);
            const int32_t* wanted = labels + (size_t)r * cells;
            right[r] = cells_right(cells, s.vocab, logits, wanted);
            said[2 * r] = cells_loss(softmax, cells, s.vocab, logits, wanted, factor[r], d_logits);
            said[2 * r + 1] = chance_loss(q[2 * r], right[r], factor[r] * halt_weight, d_q);
            back.row(*z, s, weights.layers, weights.back_ends, k, r, d_logits, d_q, to->puzzles,
                     nullptr);
        }
    });
    for (int t = 0; t < threads; t++) {
        Pieces pieces{rooms[t].at};
        Backward(*z, s, pieces).give(s, t > 0, *to);
    }
    return DONE;
} catch (const std::exception&) {
    return MEMORY;
}

}  // extern "C"
