// Sizes, and where weights, a row's kept values and sums of gradients lie.

#pragma once

#include <cstdlib>
#include <new>
#include <vector>

#include "vectors.h"

// What both passes are told; the same fields as `StepCall` in trm/network/fused/library.py.
extern "C" struct Task {
    int32_t rows, positions, channels, layers;
    int32_t inner;     // width of the SwiGLU over channels
    int32_t mixing;    // 0: attention; else the width of the SwiGLU over positions
    int32_t heads;     // of attention
    int32_t H_cycles;  // the last may keep what backward needs
    int32_t L_cycles;  // updates of z_L in each cycle
    int32_t L_kept;    // the last of them of the last cycle, which have a gradient
    int32_t threads;
    int32_t prefix;    // positions before the tokens
    int32_t vocab;
    int32_t puzzle;    // numbers of a row's puzzle embedding, at most prefix x channels
    float eps;         // of the norms
    float scale;       // of embeddings
    // float32, contiguous; of each layer the two matrices that mix positions and the two of the
    // SwiGLU over channels, as torch has them.
    const float *const *weights;
    const float *cosines, *sines;             // [positions, head], or null
    const int32_t* tokens;                    // [rows, positions - prefix]
    const float *table, *puzzles;             // [vocab, channels], [rows, puzzle] or null
    const float* x;                           // [rows, positions, channels] instead of tokens, or null
    const float *lm_head, *q_head, *q_bias;   // [vocab, channels], [2, channels], [2]
};

// Where gradients go, in the shapes of what they are of; the same fields as `Gradients` there. Those
// of what was embedded may be null; `x` stands for it where that was given.
extern "C" struct Gradients {
    float* const* weights;
    float *table, *puzzles, *x, *lm_head, *q_head, *q_bias;
};

namespace {

float* aligned(size_t floats) {
    void* p = nullptr;
    if (posix_memalign(&p, 64, (floats ? floats : 1) * sizeof(float))) throw std::bad_alloc();
    return (float*)p;
}

struct Buffer {  // zeroed
    float* at;
    explicit Buffer(size_t floats) : at(aligned(floats)) { std::memset(at, 0, floats * 4); }
    Buffer(Buffer&& other) noexcept : at(other.at) { other.at = nullptr; }
    Buffer(const Buffer&) = delete;
    ~Buffer() { std::free(at); }
};

// Takes pieces of a buffer one after another; without one it only counts.
struct Pieces {
    float* at;
    size_t used = 0;
    float* take(size_t floats) {
        float* found = at ? at + used : nullptr;
        used += (floats + 15) / 16 * 16;
        return found;
    }
};

struct Shape {
    int S, D, Dp, Sp, J, Jp, I, Ip, heads, hd, hdp, qkv, layers, kept, prefix, vocab, puzzle;
    float eps;
    bool attention;
    explicit Shape(const Task& z) {
        S = z.positions, D = z.channels, J = z.inner, I = z.mixing;
        Dp = padded(D), Sp = padded(S), Jp = padded(J), Ip = padded(I);
        attention = !I;
        heads = attention ? z.heads : 1, hd = D / heads, hdp = padded(hd), qkv = padded(3 * D);
        layers = z.layers, eps = z.eps;
        kept = z.L_kept + 1;
        prefix = z.prefix, vocab = z.vocab, puzzle = z.puzzle;
    }
};

// Panels of W^T: the product's K runs along a row of the weights. Of a matrix [out, in].
void pack_rows(const float* w, int out, int in, float* to) {
    for (int n = 0; n < out; n += 2 * W)
        for (int k = 0; k < in; k++)
            for (int j = 0; j < 2 * W; j++)
                *to++ = n + j < out ? w[(size_t)(n + j) * in + k] : 0.0f;
}

// Panels of W itself: K runs down the weights, `row(k)` is the k-th of them, or -1.
template <class Row>
void pack_columns(const float* w, int K, int in, float* to, Row row) {
    for (int n = 0; n < in; n += 2 * W)
        for (int k = 0; k < K; k++) {
            int r = row(k);
            for (int j = 0; j < 2 * W; j++)
                *to++ = r >= 0 && n + j < in ? w[(size_t)r * in + n + j] : 0.0f;
        }
}

size_t panels(int K, int N) { return (size_t)K * ((N + 2 * W - 1) / (2 * W)) * 2 * W; }

struct Layer {
    const float *mix_in, *mix_out;  // as torch has them: qkv_proj, o_proj, or gate_up_proj, down_proj
    const float *in, *out;          // gate_up_proj, down_proj over channels
    float *mix, *mix_end;           // packed for forward
    float *gate_up, *down;
    float *back_mix, *back_mix_end, *back_gate_up, *back_down;  // for backward
};

// The gate of channel j stands in column (j / W) 2W + j % W, what it gates W further on.
int unfold(int c, int J) {
    int j = c / (2 * W) * W + c % W;
    return j >= J ? -1 : c % (2 * W) < W ? j : J + j;
}

std::vector<Layer> lay_out(const Shape& s, Pieces& room, const float* const* weights, bool back) {
    std::vector<Layer> layers;
    for (int l = 0; l < s.layers; l++) {
        Layer y{};
        if (weights)
            y.mix_in = weights[4 * l], y.mix_out = weights[4 * l + 1], y.in = weights[4 * l + 2],
            y.out = weights[4 * l + 3];
        if (s.attention) {
            y.mix = room.take(panels(s.D, 3 * s.D)), y.mix_end = room.take(panels(s.D, s.D));
            if (back)
                y.back_mix = room.take(panels(3 * s.D, s.D)),
                y.back_mix_end = room.take(panels(s.D, s.D));
        } else {
            y.mix = room.take((size_t)2 * s.I * s.S);
        }
        y.gate_up = room.take(panels(s.D, 2 * s.Jp)), y.down = room.take(panels(s.J, s.D));
        if (back)
            y.back_gate_up = room.take(panels(2 * s.Jp, s.D)),
            y.back_down = room.take(panels(s.D, s.J));
        layers.push_back(y);
    }
    return layers;
}

void fill(const Shape& s, std::vector<Layer>& layers, bool back) {
    auto same = [](int k) { return k; };
    auto folded = [&](int k) { return unfold(k, s.J); };
    for (Layer& y : layers) {
        if (s.attention) {
            if (back) {
                pack_columns(y.mix_in, 3 * s.D, s.D, y.back_mix, same);
                pack_columns(y.mix_out, s.D, s.D, y.back_mix_end, same);
            } else {
                pack_rows(y.mix_in, 3 * s.D, s.D, y.mix);
                pack_rows(y.mix_out, s.D, s.D, y.mix_end);
            }
        } else {
            for (int i = 0; i < 2 * s.I; i++)  // gates and what they gate take turns
                std::memcpy(y.mix + (size_t)i * s.S,
                            y.mix_in + (size_t)(i / 2 + i % 2 * s.I) * s.S, s.S * 4);
        }
        if (back) {
            pack_columns(y.in, 2 * s.Jp, s.D, y.back_gate_up, folded);
            pack_columns(y.out, s.D, s.J, y.back_down, same);
        } else {
            float* to = y.gate_up;
            for (int n = 0; n < 2 * s.Jp; n += 2 * W)
                for (int k = 0; k < s.D; k++)
                    for (int j = 0; j < 2 * W; j++) {
                        int r = unfold(n + j, s.J);
                        *to++ = r >= 0 ? y.in[(size_t)r * s.D + k] : 0.0f;
                    }
            pack_rows(y.out, s.D, s.J, y.down);
        }
    }
}

// What backward needs of one row: of each layer all updates side by side, so that the gradients of
// weights are one product over all of them.
struct Kept {
    struct Of {
        float *in, *mixed, *act, *by, *root;       // [S, D], [S, D], [S, J], [S, 2 J], [S]
        float *mix_act, *mix_by, *mix_root;        // [I, D], [2 I, D], [D]; attention: [S]
        float *qkv, *heads, *peak, *whole;         // [S, 3 D], [S, D], [heads, S] twice
    };
    std::vector<Of> of;
    float* out;  // [S, D] of the last layer

    Kept(const Shape& s, Pieces& room) {
        size_t n = s.kept, SD = (size_t)s.S * s.Dp;
        for (int l = 0; l < s.layers; l++) {
            Of o{};
            o.in = room.take(n * SD), o.mixed = room.take(n * SD);
            o.act = room.take(n * s.S * s.Jp), o.by = room.take(n * s.S * 2 * s.Jp);
            o.root = room.take(n * s.Sp);
            if (s.attention) {
                o.mix_root = room.take(n * s.Sp), o.qkv = room.take(n * s.S * s.qkv);
                o.heads = room.take(n * SD);
                o.peak = room.take(n * s.heads * s.Sp), o.whole = room.take(n * s.heads * s.Sp);
            } else {
                o.mix_root = room.take(n * s.Dp);
                o.mix_act = room.take(n * s.I * s.Dp), o.mix_by = room.take(n * 2 * s.I * s.Dp);
            }
            of.push_back(o);
        }
        out = room.take(n * SD);
    }
    // The state that goes into layer l, or comes out of the last, in update u.
    float* state(const Shape& s, int l, int u) const {
        return (l < s.layers ? of[l].in : out) + (size_t)u * s.S * s.Dp;
    }
};

}  // namespace
