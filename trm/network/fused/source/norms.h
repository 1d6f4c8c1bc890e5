// The RMS norms over channels and over positions, and their gradients.

#pragma once

#include "layout.h"

namespace {

void norm_channels(const Shape& s, float* h, float* root) {
    for (int i = 0; i < s.S; i++, h += s.Dp) {
        V square = {};
        for (int d = 0; d < s.Dp; d += W) square += load(h + d) * load(h + d);
        float r = 1.0f / std::sqrt(sum(square) / s.D + s.eps);
        if (root) root[i] = r;
        for (int d = 0; d < s.Dp; d += W) store(h + d, load(h + d) * r);
    }
}

void norm_positions(const Shape& s, float* h, float* root) {
    for (int d = 0; d < s.Dp; d += W) {
        V square = {};
        for (int i = 0; i < s.S; i++) {
            V x = load(h + i * s.Dp + d);
            square += x * x;
        }
        square = square / (float)s.S + s.eps;
        V r;
        for (int j = 0; j < W; j++) r[j] = std::sqrt(square[j]);
        r = 1.0f / r;
        if (root) store(root + d, r);
        for (int i = 0; i < s.S; i++) store(h + i * s.Dp + d, load(h + i * s.Dp + d) * r);
    }
}

// From the gradient of y = x r to that of x: r (dy - y mean(dy y)).
void unnorm_channels(const Shape& s, const float* y, const float* root, const float* dy, float* dx) {
    for (int i = 0; i < s.S; i++) {
        const float *a = y + i * s.Dp, *b = dy + i * s.Dp;
        V dot = {};
        for (int d = 0; d < s.Dp; d += W) dot += load(a + d) * load(b + d);
        float mean = sum(dot) / s.D, r = root[i];
        for (int d = 0; d < s.Dp; d += W)
            store(dx + i * s.Dp + d, r * (load(b + d) - load(a + d) * mean));
    }
}

void unnorm_positions(const Shape& s, const float* y, const float* root, const float* dy, float* dx) {
    for (int d = 0; d < s.Dp; d += W) {
        V mean = {};
        for (int i = 0; i < s.S; i++) mean += load(y + i * s.Dp + d) * load(dy + i * s.Dp + d);
        mean = mean / (float)s.S;
        V r = load(root + d);
        for (int i = 0; i < s.S; i++)
            store(dx + i * s.Dp + d, r * (load(dy + i * s.Dp + d) - load(y + i * s.Dp + d) * mean));
    }
}

}  // namespace
