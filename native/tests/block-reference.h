// SPDX-License-Identifier: Apache-2.0
// The parts of a transformer block and their gradients by definition, in float64: what the attention
// and branch ops are compared with. Matrices are row-major.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace dm::test {

using Reals = std::vector<double>;
using Floats32 = std::vector<float>;

constexpr double kBranchEpsilon = 1e-6;  // of the layer normalization in a branch

/// Values of a normal distribution times `scale`, as float32 and as the same numbers in float64.
inline Floats32 draw(std::size_t count, unsigned seed, double scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0, scale);
  Floats32 values(count);
  for (float& value : values) value = static_cast<float>(normal(generator));
  return values;
}

inline Reals reals(const Floats32& values) { return {values.begin(), values.end()}; }

/// The largest |a - b| over the largest |b|, or over `floor` if that is more (where what is expected
/// cancels to 0); NaN is infinitely far.
inline double distance(const Floats32& a, const Reals& b, double floor = 1) {
  double most = floor;
  double apart = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    most = std::max(most, std::abs(b[i]));
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    apart = difference <= apart ? apart : std::isnan(difference) ? INFINITY : difference;
  }
  return a.size() == b.size() ? apart / most : INFINITY;
}

/// x [rows, k] · w [n, k] transposed + b [n].
inline Reals affine(const Reals& x, const Reals& w, const Reals& b, std::size_t k) {
  const std::size_t n = b.size();
  const std::size_t rows = x.size() / k;
  Reals y(rows * n);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = b[j];
      for (std::size_t l = 0; l < k; ++l) sum += x[i * k + l] * w[j * k + l];
      y[i * n + j] = sum;
    }
  }
  return y;
}

struct AffineGradient {
  Reals x, weight, bias;
};

inline AffineGradient affine_gradient(const Reals& dy, const Reals& x, const Reals& w,
                                      std::size_t n, std::size_t k) {
  AffineGradient d{Reals(x.size()), Reals(n * k), Reals(n)};
  for (std::size_t i = 0; i < x.size() / k; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const double g = dy[i * n + j];
      d.bias[j] += g;
      for (std::size_t l = 0; l < k; ++l) {
        d.x[i * k + l] += g * w[j * k + l];
        d.weight[j * k + l] += g * x[i * k + l];
      }
    }
  }
  return d;
}

struct Standardized {
  Reals values, rstd;
};

inline Standardized standardize(const Reals& x, std::size_t width, double epsilon) {
  Standardized result{x, {}};
  for (std::size_t row = 0; row < x.size() / width; ++row) {
    double* r = result.values.data() + row * width;
    double mean = 0;
    double variance = 0;
    for (std::size_t i = 0; i < width; ++i) mean += r[i] / static_cast<double>(width);
    for (std::size_t i = 0; i < width; ++i) {
      variance += (r[i] - mean) * (r[i] - mean) / static_cast<double>(width);
    }
    result.rstd.push_back(1 / std::sqrt(variance + epsilon));
    for (std::size_t i = 0; i < width; ++i) r[i] = (r[i] - mean) * result.rstd.back();
  }
  return result;
}

inline Reals scaled(const Standardized& s, const Reals& weight, const Reals& bias) {
  Reals y = s.values;
  const std::size_t width = weight.size();
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = y[i] * weight[i % width] + bias[i % width];
  return y;
}

struct NormGradient {
  Reals x, weight, bias;
};

inline NormGradient norm_gradient(const Reals& dy, const Standardized& s, const Reals& weight) {
  const std::size_t width = weight.size();
  NormGradient d{Reals(dy.size()), Reals(width), Reals(width)};
  for (std::size_t row = 0; row < s.rstd.size(); ++row) {
    double average = 0;
    double along = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t at = row * width + i;
      average += dy[at] * weight[i] / static_cast<double>(width);
      along += dy[at] * weight[i] * s.values[at] / static_cast<double>(width);
      d.weight[i] += dy[at] * s.values[at];
      d.bias[i] += dy[at];
    }
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t at = row * width + i;
      d.x[at] = s.rstd[row] * (dy[at] * weight[i] - average - s.values[at] * along);
    }
  }
  return d;
}

inline double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
inline double gelu_slope(double x) {
  return 0.5 * (1 + std::erf(x / std::sqrt(2.0))) +
         x * std::exp(-x * x / 2) / std::sqrt(2 * 3.14159265358979323846);
}

/// What attends to what: `added` is [heads, queries, keys], or empty.
struct AttentionSizes {
  std::size_t batch, queries, keys, width, heads;
};

struct AttentionGradient {
  Reals query, key, value, added;
};

/// Softmax attention by heads; with `dy` also its gradient.
inline Reals attend(const AttentionSizes& z, const Reals& query, const Reals& key,
                    const Reals& value, const Reals& added, const Reals* dy = nullptr,
                    AttentionGradient* d = nullptr) {
  Reals y(query.size());
  const std::size_t depth = z.width / z.heads;
  const double scale = 1 / std::sqrt(static_cast<double>(depth));
  if (d != nullptr) {
    *d = {Reals(query.size()), Reals(key.size()), Reals(value.size()), Reals(added.size())};
  }
  for (std::size_t bh = 0; bh < z.batch * z.heads; ++bh) {
    const std::size_t head = bh % z.heads;
    const auto at = [&](std::size_t rows, std::size_t row) {
      return (bh / z.heads * rows + row) * z.width + head * depth;
    };
    for (std::size_t i = 0; i < z.queries; ++i) {
      Reals p(z.keys);
      double most = -INFINITY;
      for (std::size_t j = 0; j < z.keys; ++j) {
        for (std::size_t l = 0; l < depth; ++l) {
          p[j] += scale * query[at(z.queries, i) + l] * key[at(z.keys, j) + l];
        }
        if (!added.empty()) p[j] += added[(head * z.queries + i) * z.keys + j];
        most = std::max(most, p[j]);
      }
      double sum = 0;
      for (double& score : p) sum += score = std::exp(score - most);
      for (double& score : p) score /= sum;
      double delta = 0;
      for (std::size_t l = 0; l < depth; ++l) {
        double& out = y[at(z.queries, i) + l];
        for (std::size_t j = 0; j < z.keys; ++j) out += p[j] * value[at(z.keys, j) + l];
        if (dy != nullptr) delta += out * (*dy)[at(z.queries, i) + l];
      }
      if (dy == nullptr) continue;
      for (std::size_t j = 0; j < z.keys; ++j) {
        double g = 0;
        for (std::size_t l = 0; l < depth; ++l) {
          const double out = (*dy)[at(z.queries, i) + l];
          g += out * value[at(z.keys, j) + l];
          d->value[at(z.keys, j) + l] += p[j] * out;
        }
        g = p[j] * (g - delta);
        if (!added.empty()) d->added[(head * z.queries + i) * z.keys + j] += g;
        for (std::size_t l = 0; l < depth; ++l) {
          d->query[at(z.queries, i) + l] += scale * g * key[at(z.keys, j) + l];
          d->key[at(z.keys, j) + l] += scale * g * query[at(z.queries, i) + l];
        }
      }
    }
  }
  return y;
}

/// A grid of windows: added scores of the whole grid and, of each pair, the row of the table (or -1).
struct Windows {
  std::size_t rows, columns, a, b, down, right;

  std::size_t table_rows() const { return (2 * a - 1) * (2 * b - 1); }
  std::size_t tokens() const { return rows * columns; }

  /// By definition: roll, cut, and hide what the roll alone made neighbours.
  int pair(std::size_t query, std::size_t key, double* mask) const {
    const std::size_t s = rows > a ? down : 0;
    const std::size_t t = columns > b ? right : 0;
    const auto place = [](std::size_t position, std::size_t length, std::size_t shift) {
      return (position + length - shift) % length;
    };
    const std::size_t qr = place(query / columns, rows, s), kr = place(key / columns, rows, s);
    const std::size_t qc = place(query % columns, columns, t), kc = place(key % columns, columns, t);
    if (qr / a != kr / a || qc / b != kc / b) return -1;
    const auto wrapped = [](std::size_t position, std::size_t length, std::size_t shift) {
      return shift > 0 && position >= length - shift;
    };
    const bool same = wrapped(qr, rows, s) == wrapped(kr, rows, s) &&
                      wrapped(qc, columns, t) == wrapped(kc, columns, t);
    *mask = same ? 0 : -100;
    return static_cast<int>((qr % a + a - 1 - kr % a) * (2 * b - 1) + (qc % b + b - 1 - kc % b));
  }

  /// [heads, tokens, tokens] of the table [table_rows, heads].
  Reals added(const Reals& table, std::size_t heads) const {
    Reals result;
    for (std::size_t head = 0; head < heads; ++head) {
      for (std::size_t i = 0; i < tokens() * tokens(); ++i) {
        double mask = 0;
        const int row = pair(i / tokens(), i % tokens(), &mask);
        const double bias =
            row < 0 || table.empty() ? 0 : table[static_cast<std::size_t>(row) * heads + head];
        result.push_back(row < 0 ? -1e9 : bias + mask);
      }
    }
    return result;
  }

  Reals table_gradient(const Reals& d_added, std::size_t heads) const {
    Reals result(table_rows() * heads);
    for (std::size_t i = 0; i < d_added.size(); ++i) {
      const std::size_t in_head = i % (tokens() * tokens());
      double mask = 0;
      const int row = pair(in_head / tokens(), in_head % tokens(), &mask);
      if (row < 0) continue;
      result[static_cast<std::size_t>(row) * heads + i / (tokens() * tokens())] += d_added[i];
    }
    return result;
  }
};

}  // namespace dm::test
