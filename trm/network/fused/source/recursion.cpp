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

}  // namespace

extern "C" {

// Floats that `forward` keeps for `backward`, all rows together.
int64_t kept_size(const Task* z) { return (int64_t)(kept_floats(Shape(*z)) * z->rows + 16); }

// z_H, z_L [rows, S, D] to the new ones, and both heads: logits [rows, S - prefix, vocab] and two
// numbers a row. `kept` may be null. 0; 1 where memory is short; 2 where a token is none.
int32_t forward(const Task* z, const float* z_H, const float* z_L, float* new_H, float* new_L,
                float* logits, float* q_halt, float* q_continue, float* kept) try {
    const Shape s(*z);
    if (!z->x)
        for (int64_t i = 0; i < (int64_t)z->rows * (s.S - s.prefix); i++)
            if (z->tokens[i] < 0 || z->tokens[i] >= s.vocab) return 2;
    Pieces room{nullptr};
    lay_out(s, room, nullptr, false);
    Head_weights(s, room, false);
    Buffer store(room.used);
    room = {store.at};
    std::vector<Layer> layers = lay_out(s, room, z->weights, false);
    fill(s, layers, false);
    const Head_weights ends(s, room, false);
    ends.fill(s, *z);
    const size_t SD = (size_t)s.S * s.Dp, row = (size_t)s.S * s.D, keep = kept_floats(s);
    float* first = kept ? whole_line(kept) : nullptr;
    const int threads = threads_of(*z);
    Pieces sizes{nullptr};
    Scratch(s, sizes), sizes.take(5 * SD + 80), sizes.take(head_room(s));
    std::vector<Buffer> rooms;
    for (int t = 0; t < threads; t++) rooms.emplace_back(sizes.used);
    in_threads(z->rows, threads, [&](int thread, int begin, int end) {
        Pieces pieces{rooms[thread].at};
        Scratch w(s, pieces);
        float *H = pieces.take(SD), *L = pieces.take(SD), *X = pieces.take(SD);
        float *injected = pieces.take(SD), *h = pieces.take(SD), *said = pieces.take(head_room(s));
        for (int r = begin; r < end; r++) {
            read_row(s, z_H + r * row, H), read_row(s, z_L + r * row, L);
            embed(*z, s, r, X);
            Pieces mine{first ? first + r * keep : nullptr};
            const Kept k(s, mine);
            recur(*z, s, layers, w, first ? &k : nullptr, X, H, L, injected, h);
            write_row(s, H, new_H + r * row), write_row(s, L, new_L + r * row);
            say(*z, s, ends, H, said, logits + (size_t)r * (s.S - s.prefix) * s.vocab, q_halt + r,
                q_continue + r);
        }
    });
    return 0;
} catch (const std::exception&) {
    return 1;
}

// From the gradients of the heads' outputs, each of which may be null, to those of the weights and
// of what was embedded; overwrites `kept`. `d_x` stands for x where that was given.
int32_t backward(const Task* z, float* kept, const float* d_logits, const float* d_halt,
                 const float* d_continue, float* const* d_weights, float* d_table, float* d_puzzles,
                 float* d_x, float* d_lm_head, float* d_q_head, float* d_q_bias) try {
    const Shape s(*z);
    Pieces room{nullptr};
    lay_out(s, room, nullptr, true);
    Head_weights(s, room, true);
    Buffer store(room.used);
    room = {store.at};
    std::vector<Layer> layers = lay_out(s, room, z->weights, true);
    fill(s, layers, true);
    const Head_weights ends(s, room, true);
    ends.fill(s, *z);
    const Tables tables{z->cosines, z->sines};
    const size_t SD = (size_t)s.S * s.Dp, keep = kept_floats(s);
    float* first = whole_line(kept);
    // While a row stays in cache, its weights' gradients are one product over all updates.
    const bool together = keep * 4 < (512 << 10);
    const int slots = together ? s.kept : 1, threads = threads_of(*z);
    Pieces sizes{nullptr};
    Sums(s, sizes), Head_sums(s, sizes, !z->x), BackScratch(s, sizes, slots);
    std::vector<Buffer> rooms;
    for (int t = 0; t < threads; t++) rooms.emplace_back(sizes.used);
    in_threads(z->rows, threads, [&](int thread, int begin, int end) {
        Pieces pieces{rooms[thread].at};
        const Sums sums(s, pieces);
        const Head_sums outer(s, pieces, !z->x);
        const BackScratch w(s, pieces, slots);
        for (int r = begin; r < end; r++) {
            Pieces mine{first + r * keep};
            const Kept k(s, mine);
            unsay(*z, s, ends, outer, k.state(s, s.layers, s.kept - 1),
                  d_logits ? d_logits + (size_t)r * (s.S - s.prefix) * s.vocab : nullptr,
                  d_halt ? d_halt[r] : 0.0f, d_continue ? d_continue[r] : 0.0f, w.d);
            std::memset(w.dx, 0, SD * 4);
            for (int u = s.kept - 1; u >= 0; u--) {
                for (int l = s.layers - 1; l >= 0; l--) {
                    layer_backward(s, layers[l], tables, k, l, u, w, together ? u : 0, sums.of[l]);
                    if (!together) weight_sums(s, k.of[l], w.of[l], sums.of[l], u, 1, 0);
                }
                if (u < s.kept - 1) add(s, w.dx, w.d, w.dx);
            }
            for (int l = 0; l < s.layers && together; l++)
                weight_sums(s, k.of[l], w.of[l], sums.of[l], 0, s.kept, 0);
            unembed(*z, s, r, w.dx, outer, d_puzzles, d_x);
        }
    });
    for (int t = 0; t < threads; t++) {  // in this order, whatever thread was done first
        Pieces pieces{rooms[t].at};
        const Sums sums(s, pieces);
        const Head_sums outer(s, pieces, !z->x);
        for (int l = 0; l < s.layers; l++) sums.give(s, l, t > 0, d_weights + 4 * l);
        outer.give(s, t > 0, d_table, d_lm_head, d_q_head, d_q_bias);
    }
    return 0;
} catch (const std::exception&) {
    return 1;
}

}  // extern "C"
